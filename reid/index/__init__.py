"""The gallery index: two-stage search over many tracklets, exact or with FAISS proposals."""
