"""Invented film titles for the demo world: words of a category, and one place for each topic."""

from itertools import product

import numpy as np

from proactrec.types import IntArray

# Neighbours in this order are related, the last to the first too.
WORDS: dict[str, str] = {
    "Drama": "Promise Silence Debt Daughter Winter Orchard Harvest Inheritance Kitchen Tide",
    "Romance": "Letter Kiss Summer Garden Dance Wedding Stranger Serenade Rose Balcony",
    "Comedy": "Neighbour Holiday Landlord Parade Picnic Rehearsal Umbrella Dinner Bargain Waiter",
    "Family": "Lighthouse Kite Puppy Treehouse Lantern Snowman Pony Carousel Balloon Grandfather",
    "Fantasy": "Dragon Crown Spell Tower Oracle Sword Raven Enchanter Mirror Unicorn",
    "Adventure": "Expedition Island River Treasure Summit Voyage Compass Canyon Caravan Jungle",
    "Science Fiction": "Orbit Signal Colony Machine Comet Android Reactor Starship Archive Horizon",
    "Horror": "Cellar Scream Doll Fog Graveyard Hunger Attic Ritual Shadow Whisper",
    "Mystery": "Clue Alibi Cipher Portrait Riddle Witness Manuscript Passage Locket Fingerprint",
    "Crime": "Heist Detective Verdict Ransom Syndicate Getaway Informer Vault Smuggler Hustler",
    "History": "Empire Regiment Siege Treaty Queen Rebellion Frontier Cathedral Exile Fleet",
    "Documentary": "Glacier Migration Workshop Harbour Choir Factory Forest Reef Railway Village",
}
CATEGORIES = tuple(WORDS)
ADJECTIVES = (
    "Amber Bitter Borrowed Broken Burning Copper Crimson Crooked Distant Drifting Early Empty "
    "Endless Faded Final Forgotten Fragile Frozen Gentle Gilded Golden Hidden Hollow Honest Iron "
    "Ivory Last Late Little Lonely Long Lost Lucky Midnight Narrow Northern Old Open Pale Paper "
    "Patient Perfect Quiet Restless Rising Sacred Scarlet Second Secret Seventh Silent Silver "
    "Sleeping Southern Stolen Stubborn Tender Thin Velvet Wandering Western White Wild"
)
PLACE_STARTS = "Al Bel Cor Dar El Fen Gal Hol Is Kor Lor Mar Nor Or Pel Quen Ros Sel Tal Val"
PLACE_MIDDLES = "a e i o an en ar or"
PLACE_ENDS = "bridge dale dor ford haven lin mere mont ra ria stead ton vale via wick"
WITH_PLACE = (
    "The {word} of {place}",
    "{place} {word}",
    "Return to {place}",
    "The Road to {place}",
    "A {word} in {place}",
)
"""Titles of a topic's first films; the others are "The {adjective} {word}"."""


def film_titles(main: IntArray, topic_size: int, rng: np.random.Generator) -> list[str]:
    """Distinct titles, topic by topic, with a year that never falls within a topic.

    Parameters
    ----------
    main : int array, shape (n_topics,)
        Main category of every topic, as an index into `CATEGORIES`.

    Returns
    -------
    list of str, length n_topics * topic_size
    """
    places = _places(len(main), rng)
    adjectives, plain = ADJECTIVES.split(), {}
    for name, words in WORDS.items():
        pairs = product(adjectives, words.split())
        plain[name] = _shuffled([f"The {adjective} {word}" for adjective, word in pairs], rng)
    titles = []
    for category, place in zip(main, places, strict=True):
        name = CATEGORIES[category]
        main_words = rng.permutation(WORDS[name].split())
        years = 1975 + np.sort(rng.integers(0, 45, topic_size))
        for position in range(topic_size):
            if position < len(WITH_PLACE):
                title = WITH_PLACE[position].format(word=main_words[position], place=place)
            else:
                title = plain[name].pop()
            titles.append(f"{_with_article(title)} ({years[position]})")
    return titles


def _places(n: int, rng: np.random.Generator) -> list[str]:
    parts = (PLACE_STARTS.split(), PLACE_MIDDLES.split(), PLACE_ENDS.split())
    return _shuffled(["".join(place) for place in product(*parts)], rng)[:n]


def _shuffled(texts: list[str], rng: np.random.Generator) -> list[str]:
    return [texts[row] for row in rng.permutation(len(texts))]


def _with_article(title: str) -> str:
    return "An" + title[1:] if title[:2] == "A " and title[2] in "AEIOU" else title
