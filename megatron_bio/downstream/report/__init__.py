"""`megatron-bio report`: results of evaluate as tables and pictures, with published numbers beside them."""
