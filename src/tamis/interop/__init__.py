"""Other people's places for models: folders that the Hugging Face Hub understands, and the Hub itself.

Frameworks that own the training loop need nothing from here: a method attaches to their optimizer as to any other.
Imported by nobody below the command line; the packages behind it are optional and imported on use.
"""

from tamis.interop._folder import MODEL_FILE, load_folder, save_folder
from tamis.interop._hub import load_from_hub, push_to_hub

__all__ = ["MODEL_FILE", "load_folder", "load_from_hub", "push_to_hub", "save_folder"]
