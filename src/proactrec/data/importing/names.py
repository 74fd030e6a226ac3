"""How columns are called, by what they mean: in English, German, French and Spanish."""

import re
import unicodedata

_WORDS = {
    "user": {
        "": "userid user uid visitorid visitor customerid customer clientid client memberid member "
        "accountid account reviewerid reviewer listenerid listener viewer buyer subscriber person "
        "profileid userhash username authoruserid author userno usernumber",
        "German": "kundennummer kundennr kundenid kunde nutzerid nutzer benutzer kaufer kaeufer "
        "besucher teilnehmer mitglied konto leser horer hoerer",
        "French": "utilisateur idutilisateur acheteur idclient numeroclient visiteur membre abonne",
        "Spanish": "usuario idusuario cliente idcliente comprador visitante miembro abonado",
    },
    "item": {
        "": "itemid item productid product movieid movie articleid article trackid track songid "
        "song artistid artist videoid video bookid book isbn parentasin asin sku gameid game appid "
        "app contentid content newsid listingid offerid showid episodeid recipeid businessid "
        "propertyid productcode productnumber productno stockcode objectid itemno itemnumber",
        "German": "artikelnummer artikelnr artikelid artikel produktnummer produktnr produktid "
        "produkt spiel sendung beitrag",
        "French": "idproduit produitid produit idarticle livre morceau",
        "Spanish": "idproducto productoid producto idarticulo articulo libro pelicula cancion",
    },
    "time": {
        "": "timestamp time eventtime datetime ts createdat createdon date occurredat playedat "
        "viewedat purchasedat ratedat unixreviewtime reviewtime eventdate at when unixtime epoch",
        "German": "zeitstempel zeitpunkt zeit datum uhrzeit erstelltam gekauftam",
        "French": "horodatage heure dateachat datecommande",
        "Spanish": "marcadetiempo fechahora fecha hora",
    },
    "event_type": {
        "": "eventtype event action actiontype behavior behaviour type interaction kind",
        "German": "ereignistyp ereignis aktion vorgang ereignisart",
        "French": "typeevenement evenement typeaction",
        "Spanish": "tipoevento evento accion tipoaccion tipo",
    },
    "title": {
        "": "title name itemname movietitle productname label productdisplayname",
        "German": "titel bezeichnung artikelname produktname",
        "French": "titre libelle intitule nomproduit nom",
        "Spanish": "titulo nombreproducto nombre",
    },
    "category": {
        "": "categories category genres genre tags tag class department maincategory itemcategory "
        "categoryname producttype topic topics",
        "German": "kategorien kategorie warengruppe produktgruppe rubrik gattung sparte",
        "French": "rayon famille",
        "Spanish": "categorias categoria genero",
    },
    "text": {
        "": "description overview summary plot about synopsis abstract text features blurb",
        "German": "beschreibung inhalt zusammenfassung",
        "French": "resume",
        "Spanish": "descripcion resumen sinopsis",
    },
    "rating": {
        "": "rating ratings score stars overall weight count plays",
        "German": "bewertung sterne",
        "French": "evaluation etoiles",
        "Spanish": "valoracion calificacion puntuacion estrellas",
    },
}
LANGUAGES = {
    meaning: {word: language for language, words in by_language.items() for word in words.split()}
    for meaning, by_language in _WORDS.items()
}
LANGUAGES["item"]["id"] = ""  # after the clearer names of every language
"""Names of columns by their meaning, the likeliest first; each with its language, "" = English."""


def plain_name(name: str) -> str:
    """A column's name in small letters and digits: no accents, no signs."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    return re.sub(r"[^a-z0-9]", "", letters)
