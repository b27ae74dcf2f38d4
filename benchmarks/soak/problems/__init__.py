"""Random problems for every native operation, with their answers in float64 and how far rounding may lead from them."""

from problems._convolutions import CONVOLUTIONS
from problems._draw import Answer, Draw, Problem, mistakes
from problems._images import IMAGES
from problems._patterns import PATTERNS
from problems._sources import SOURCES

# Name of a kind of problem -> (how often it is drawn, the function that draws one).
KINDS = {**CONVOLUTIONS, **IMAGES, **PATTERNS, **SOURCES}

__all__ = ["KINDS", "Answer", "Draw", "Problem", "mistakes"]
