"""Small files in the exact layout of every publisher, all invented.

Where the layouts come from:

- MovieLens: the READMEs of 100K, 1M, 10M and 20M to 32M (files.grouplens.org/datasets/movielens);
  100K is also in the data folder.
- Last.fm: `readme.txt` of HetRec 2011, also in the data folder.
- MovieTweetings: README of github.com/sidooms/MovieTweetings, also in the data folder.
- Steam: `steam_games.json` and the fields of the Australian reviews are in the data folder; the
  nesting of version 1 and the fields of version 2 are as the publisher's page shows them
  (cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data) and as public readers of the files use them.
- steam-200k: the data folder has CaseRec's files; the publisher's own is described in their README.
- Douban_movie: the publisher's page (Kaggle, fengzhujoey) wants a login. Columns, quotes and the
  two numberings of films are those that six independent public readers of the files rely on.
- Amazon: the sample records on cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/ and on
  amazon-reviews-2023.github.io.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proactrec.data.sources import SOURCES

Files = Mapping[str, bytes]
Place = Callable[..., Path]


def lines(*texts: str, end: str = "\n") -> bytes:
    return "".join(text + end for text in texts).encode()


def records(*values: dict[str, object]) -> bytes:
    return lines(*(json.dumps(value, ensure_ascii=False) for value in values))


def literals(*values: dict[str, object]) -> bytes:
    return lines(*(repr(value).replace("'app_name'", "u'app_name'") for value in values))


GAMES = literals(
    {
        "publisher": "Valve",
        "genres": ["Action", "Animation &amp; Modeling"],
        "app_name": "Half-Life",
        "title": "Half-Life",
        "tags": ["FPS", "Classic"],
        "specs": ["Single-player"],
        "price": 9.99,
        "early_access": False,
        "id": "70",
        "developer": "Valve",
    },
    {"genres": ["RPG"], "app_name": 'Don\'t \\ "Starve"', "tags": [], "id": "80", "price": None},
    {"app_name": "No Genre", "id": "90"},
)
CSV_FILMS = lines(
    "movieId,title,genres",
    "1,Toy Story (1995),Animation|Comedy",
    '2,"American President, The ""1995""",Drama',
    "3,Nothing,(no genres listed)",
)
CSV_RATINGS = lines(
    "userId,movieId,rating,timestamp", "1,1,4.0,964982703", "1,2,0.5,964981247", "2,3,5.0,964982224"
)
CSV_TAGS = lines("userId,movieId,tag,timestamp", '1,1,"fun, ""old""",1', "2,1,pixar,2")
OLD_RATINGS = lines("1::1::5::978300760", "1::2::3::978302109", "2::3::4::978301968")

LAYOUTS: dict[str, Files] = {
    "ml-100k": {
        "u.data": lines("1\t1\t5\t874965758", "1\t2\t3\t876893171", "2\t1\t4\t888550871"),
        "u.item": "1|Toy Story (1995)|01-Jan-1995||http://x|0|1\n2|Les Misérables|||x|1|0\n".encode(
            "latin-1"
        ),
        "u.genre": lines("unknown|0", "Drama|1", ""),
    },
    "ml-1m": {
        "ratings.dat": OLD_RATINGS,
        "movies.dat": "1::Toy Story::Animation|Comedy\n2::Misérables::Drama\n3::A::B\n".encode(
            "latin-1"
        ),
    },
    "ml-10m": {
        "ratings.dat": lines("1::1::5::838985046", "1::2::0.5::838983525", "2::3::4::838983392"),
        "movies.dat": lines(
            "1::Toy Story (1995)::Animation|Comedy",
            "2::Mission:: Impossible::Drama",
            "3::Misérables, Les::(no genres listed)",
        ),
        "tags.dat": lines("15::1::excellent!::1215184630", "16::1::a::b::1215184631"),
    },
    "ml-32m": {"ratings.csv": CSV_RATINGS, "movies.csv": CSV_FILMS, "tags.csv": CSV_TAGS},
    "lastfm": {
        "user_taggedartists-timestamps.dat": lines(
            "userID\tartistID\ttagID\ttimestamp",
            "2\t52\t13\t1238536800000",
            "2\t53\t15\t1238536800000",
            "3\t52\t13\t-407714400000",
            end="\r\n",
        ),
        "artists.dat": lines("id\tname\turl\tpictureURL", '52\tMorcheeba "\thttp://x\thttp://y'),
        "tags.dat": "tagID\ttagValue\r\n13\tchillout\r\n15\tfado é\r\n".encode("latin-1"),
    },
    "movietweetings": {
        "ratings.dat": lines(
            "1::0054890::9::1381945744", "1::110912::0::1375657563", "2::0054890::7::1"
        ),
        "movies.dat": lines("0054890::À bout (1961)::Drama|War", "110912::Pulp: Fiction (1994)::"),
    },
    "steam": {
        "steam_reviews.json": literals(
            {
                "username": "Chaos Syren",
                "hours": 0.1,
                "products": 41,
                "product_id": "70",
                "page_order": 0,
                "date": "2017-12-17",
                "text": "This would not be acceptable as entertainment \\d even back in the day.",
                "early_access": False,
                "page": 1,
            },
            {"username": "Ariman1", "product_id": "80", "date": "2014-08-02", "user_id": "7"},
            {
                "username": "Ariman1",
                "product_id": "90",
                "date": "2014-08-01",
                "text": 'it\'s \n"so"',
            },
        ),
        "steam_games.json": GAMES,
    },
    "steam-australia": {
        "australian_user_reviews.json": literals(
            {
                "user_id": "76561197970982479",
                "user_url": "http://steamcommunity.com/profiles/76561197970982479",
                "reviews": [
                    {
                        "funny": "",
                        "posted": "Posted November 5, 2011.",
                        "last_edited": "",
                        "item_id": "70",
                        "helpful": "No ratings yet",
                        "recommend": True,
                        "review": "Simple yet with great replayability.",
                    },
                    {"posted": "Posted July 15.", "item_id": "80", "recommend": False},
                ],
            },
            {
                "user_id": "js41637",
                "reviews": [{"posted": "Posted May 2, 2014.", "item_id": "90", "recommend": True}],
            },
            {"user_id": "empty", "reviews": []},
        ),
        "steam_games.json": GAMES,
    },
    "steam-200k": {
        "steam-200k.csv": lines(
            '151603712,"The Elder Scrolls V, Skyrim",purchase,1.0,0',
            '151603712,"The Elder Scrolls V, Skyrim",play,273.0,0',
            "151603712,Half Life,purchase,1.0,0",
            "7,Half Life,purchase,1.0,0",
        ),
        "steam_games.json": GAMES,
    },
    "douban-movie": {
        "moviereviews_cleaned.txt": lines(
            '"user_id"\t"movie_id"\t"rating"\t"comment"\t"time"\t"labels"\t"useful_num"',
            '"3"\t"10"\t"4"\t"很""好""看\n第二行"\t"2008-01-16"\t"爱情|喜剧"\t"0"',
            '"3"\t"11"\t""\t""\t"2008-01-17"\t""\t"2"',
            '"4"\t"10"\t"5"\t"x"\t"2010-05-02"\t"经典"\t"0"',
        ),
        "movies_cleaned.txt": lines(
            '"movie_id"\t"name"\t"director"\t"summary"\t"tag"\t"UID"',
            '"1292052"\t"肖申克的救赎"\t"x"\t"y"\t"剧情|犯罪"\t"10"',
            '"1292053"\t"霸王别姬"\t"x"\t""\t"[\'爱情\', \'同性\']"\t"11"',
        ),
    },
    "amazon-2018": {
        "All_Beauty_5.json": records(
            {
                "overall": 5.0,
                "verified": True,
                "reviewTime": "09 1, 2016",
                "reviewerID": "A3CIUOJXQ5VDQ2",
                "asin": "B0000530HU",
                "style": {"Size:": " 7.0 oz"},
                "reviewText": "As advertised",
                "unixReviewTime": 1472688000,
            },
            {
                "overall": 4.0,
                "reviewerID": "A3H7T87S984REU",
                "asin": "B1",
                "unixReviewTime": 1472688001,
            },
        ),
        "meta_All_Beauty.json": records(
            {
                "category": ["Beauty &amp; Care", "</span></span>", "Shaving"],
                "title": "Old Spice &amp; Co",
                "brand": "Old Spice",
                "details": {"x": "y"},
                "asin": "B0000530HU",
            },
            {"category": [], "title": None, "asin": "B1"},
        ),
    },
    "amazon-2023": {
        "All_Beauty.jsonl": records(
            {
                "rating": 5.0,
                "title": "Such a lovely scent",
                "images": [{"small_image_url": "x"}],
                "asin": "B00YQ6X8EO",
                "parent_asin": "B00YQ6X8EO",
                "user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ",
                "timestamp": 1588687728923,
                "helpful_vote": 0,
                "verified_purchase": True,
            },
            {"rating": 3.0, "parent_asin": "B2", "user_id": "B", "timestamp": 1588615855070},
        ),
        "meta_All_Beauty.jsonl": records(
            {
                "main_category": "All Beauty",
                "title": "Howard LC0008",
                "price": None,
                "store": "Howard Products",
                "categories": ["Hair", "Sprays"],
                "details": {"x": 1},
                "parent_asin": "B00YQ6X8EO",
            },
            {"main_category": "All Beauty", "title": "B", "categories": [], "parent_asin": "B2"},
        ),
    },
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Write a set's files, some of them replaced, and say where the set lies."""

    def placed(name: str, **replaced: bytes) -> Path:
        folder = tmp_path / (SOURCES[name].folder or name)
        folder.mkdir(exist_ok=True)
        for file, content in {**LAYOUTS[name], **replaced}.items():
            (folder / file).write_bytes(content)
        return folder

    return placed
