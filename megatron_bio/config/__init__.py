"""What a run is: frozen dataclasses, presets and cross-checks. Imports neither torch nor anything else of this package."""
