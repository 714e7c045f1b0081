"""Colours that differ for every kind of colour vision."""

# Okabe and Ito (2008), Color universal design.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW, GREY = "#56B4E9", "#E69F00", "#666666"

# Both ends stay apart for red-green blindness, and 0 is white.
DIVERGING = "PuOr_r"
