"""What kinds of events say: that something is liked, or that it is given back or refused."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

from proactrec.data.ids import NO_ID

Meaning = Literal["liking", "refusal", "only shown", "unknown"]

_WORDS: dict[Meaning, str] = {
    "liking": "view viewed detail pageview pv click clicked open opened read play played watch "
    "watched listen listened stream streamed complete completed finish finished like liked love "
    "loved favorite favourite fav favorited favourited bookmark bookmarked save saved star starred "
    "upvote thumbsup share shared comment follow followed subscribe subscribed add added addtocart "
    "cart basket wishlist checkout order ordered buy bought purchase purchased pay paid payment "
    "transaction conversion download downloaded install installed rent rented book booked borrow "
    "borrowed rate rated rating review reviewed "
    "ansicht angesehen klick kauf gekauft bestellung bestellt warenkorb merkzettel gelesen gehort "
    "vue clic achat achete commande panier favori "
    "vista clic compra comprado pedido carrito favorito",
    "refusal": "return returned refund refunded chargeback cancel canceled cancelled cancellation "
    "cancelation void voided remove removed removal delete deleted unlike unliked dislike disliked "
    "downvote thumbsdown unfavorite unfavourite unsave unstar unfollow unsubscribe uninstall "
    "uninstalled block blocked hide hidden complaint notinterested skip skipped "
    "dismiss dismissed reject rejected abandon abandoned "
    "retoure retourniert ruckgabe rueckgabe zuruckgegeben zurueckgegeben erstattung erstattet "
    "storno storniert stornierung widerruf entfernt geloscht geloescht abgebrochen ubersprungen "
    "uebersprungen "
    "retour retourne rembourse remboursement annule annulation retire supprime suppression "
    "devolucion devuelto reembolso reembolsado cancelado cancelacion anulado eliminado borrado",
    "only shown": "impression impressions exposure exposed shown recommended served displayed "
    "eingeblendet angezeigt affichage affiche impresion mostrado",
}
MEANINGS: dict[str, Meaning] = {
    word: meaning for meaning, words in _WORDS.items() for word in words.split()
}
"""Every word that is known; a kind of several words means the first of `IN_ORDER` that one has."""
IN_ORDER: tuple[Meaning, ...] = ("refusal", "liking", "only shown")
COUNTED: tuple[Meaning, ...] = ("liking", "unknown")
"""What counts where no weights are given: unknown kinds too, and that is told."""


def meaning_of(kind: str) -> Meaning:
    """What a kind of event says, by its words: `removeFromCart` and `Order Refunded` are refusals.

    A missing kind is a liking: nothing else is said of the event.
    """
    text = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind))
    text = "".join(letter for letter in text.casefold() if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", text)
    found = {MEANINGS[word] for word in ("".join(words), *words) if word in MEANINGS}
    for meaning in IN_ORDER:
        if meaning in found:
            return meaning
    return "unknown" if words and "".join(words) not in NO_ID else "liking"


def weight_of(kind: str, weights: Mapping[str, float]) -> float:
    """What an event of a kind counts: its weight, or 1 where none are given and it may be a liking.

    With any given, kinds that are not named count 0.
    """
    if weights:
        return weights.get(kind.strip(), 0.0)
    return float(meaning_of(kind) in COUNTED)
