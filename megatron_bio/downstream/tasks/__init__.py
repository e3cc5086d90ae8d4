"""What each benchmark is as a fine-tuning task: its rows for a model, its predictions, its scores."""
