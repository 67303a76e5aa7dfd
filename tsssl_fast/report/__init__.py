"""Pictures and HTML: training curves, embeddings, augmentations, one file of all protocols."""
