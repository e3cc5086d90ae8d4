"""One operation per file: its definition in plain torch, which every faster path must equal."""
