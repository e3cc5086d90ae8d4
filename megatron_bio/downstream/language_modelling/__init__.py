"""`evaluate lm`: how well a language model predicts held-out text."""
