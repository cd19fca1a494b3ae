"""Pages: reports made for people out of records, each one file of HTML that needs nothing from outside.

Prompts, texts and file names in them are hostile input: templates escape everything, and no page runs script.
"""

from gentrainers.pages.cards import Cards, cards
from gentrainers.pages.evaluation import evaluation
from gentrainers.pages.exhibits import Exhibit, exhibit

__all__ = ["Cards", "Exhibit", "cards", "evaluation", "exhibit"]
