"""The autoencoder chapter of Hands-On Machine Learning with R, run again and measured."""
