"""QPM person re-identification: model, distances, losses, training, embedding.

This room knows pixels and vectors; it knows no camera and no SQL, and it
imports nothing else of ours. Keep this file free of imports: `--help` must
answer without loading torch.
"""
