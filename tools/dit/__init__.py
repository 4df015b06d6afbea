"""The shared DiT: loading, codecs, sampling, the attention plan and its one processor."""
