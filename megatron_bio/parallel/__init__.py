"""The parallel core: mesh, conjugate collectives, parallel layers, cross entropy, data parallelism."""
