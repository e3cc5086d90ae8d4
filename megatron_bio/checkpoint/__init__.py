"""Checkpoints that any layout can load: torch's distributed checkpoint with a manifest, JSON and a restricted reader.

    RUN/checkpoints/step-00000100/
        __RANK_N.distcp   tensors, by name, in pieces
        .metadata         where each piece is (torch's format)
        info.json         configuration, progress and everything else that is not a tensor
        manifest.json     size and sha256 of the files above; written last, so a folder without it is not a checkpoint

Knows names and tensors, never models.
"""
