"""Times of dlgrad, beside PyTorch's where that is installed: `python -m bench`."""
