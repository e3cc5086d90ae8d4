"""What all `extract` verbs share: pieces of input read in parallel, resumed, of each text the version that counts."""
