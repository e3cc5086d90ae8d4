"""The Pile's own files (`jsonl.zst`) → documents of its biomedical subsets."""
