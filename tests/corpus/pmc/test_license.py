"""What publishers write (shortened), and which licence it is."""

import pytest
from lxml import etree

from megatron_bio.corpus.pmc.license import article_license, is_allowed, license_in, strictest

WORDINGS = {
    "http://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/": "CC-BY-NC-ND-4.0",
    "creativecommons.org/licenses/by-nc/3.0/": "CC-BY-NC-3.0",
    "http://creativecommons.org/licenses/by-nc/2.0/uk/)": "CC-BY-NC-2.0",
    "http://creativecommons.org/license/by/4.0": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by-sa/3.0/us/": "CC-BY-SA-3.0",
    "http://creativecommons.org/licenses/by-nd/2.5": "CC-BY-ND-2.5",
    "https://creativecommons.org/licenses/by/3.0/igo/": "CC-BY-3.0-IGO",
    "http://creativecommons.org/licenses/by": "CC-BY",
    "http://creativecommons.org/publicdomain/zero/1.0/": "CC0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "public-domain",
    "http://creativecommons.org/licenses/publicdomain/": "public-domain",
    "CC BY": "CC-BY",
    "cc-by": "CC-BY",
    "CC-BY-NC-ND": "CC-BY-NC-ND",
    "CC BY-NC-SA 4.0": "CC-BY-NC-SA-4.0",
    "CC0": "CC0",
    "creativeCommonsBy": "CC-BY",
    "creativeCommonsBy-nc-nd": "CC-BY-NC-ND",
    "public-domain": "public-domain",
    "open-access": None,
    "OpenAccess": None,
    "NO-CC CODE": None,
    "This is an open-access article distributed under the terms of the Creative Commons Attribution License, which permits "
    "unrestricted use": "CC-BY",
    "Creative Commons Attribution License (CC BY). The use in other forums is permitted": "CC-BY",
    "licensed under a Creative Commons Attribution 4.0 International License, which permits sharing": "CC-BY-4.0",
    "This open access article is distributed under Creative Commons Attribution License 4.0 (CC BY).": "CC-BY-4.0",
    "Attribution 2.0 Generic": "CC-BY-2.0",
    "under the Creative Commons Attribution 3.0 Unported License": "CC-BY-3.0",
    "under a Creative Commons Attribution 3.0 IGO licence": "CC-BY-3.0-IGO",
    "Creative Commons Attribution-Noncommercial-Share Alike 3.0 Unported": "CC-BY-NC-SA-3.0",
    "Creative Commons Attribution Non-Commercial No Derivatives 4.0 International": "CC-BY-NC-ND-4.0",
    "Creative Commons Attribution-NonCommercial-NoDerivs License, which permits use": "CC-BY-NC-ND",
    "under the Creative Commons Attribution-ShareAlike 4.0 License": "CC-BY-SA-4.0",
    "Creative Commons Non Commercial CC BY-NC: distributed under the Attribution-NonCommercial 4.0 License": "CC-BY-NC-4.0",
    "Creative Commons Attribution License, which permits non-commercial use, distribution": "CC-BY-NC",
    "CC BY 4.0. The Creative Commons Public Domain Dedication waiver "
    "(http://creativecommons.org/publicdomain/zero/1.0/) applies to the data": "CC-BY-4.0",
    "free of all copyright, may be used for any purpose. Made available under the Creative Commons CC0 public domain "
    "dedication.": "CC0",
    "permits any use, including commercial and non-commercial purposes, under CC BY": "CC-BY",
    "an open-access article, which permits unrestricted use for non-commercial purposes": "non-commercial",
    "This is a work of the U.S. Government and is not subject to copyright protection in the United States.": "public-domain",
    "written by employees of the United States Government": "public-domain",
    "US Government work": "public-domain",
    "This article is in the public domain.": "public-domain",
    "This article is not in the public domain.": None,
    "Crown copyright. Contains information licensed under the Open Government Licence v3.0.": "OGL",
    "Crown copyright 2010": None,
    "Since January 2020 Elsevier has created a COVID-19 resource centre with free information. Elsevier hereby grants "
    "permission for unrestricted research re-use": None,
    "This file is available for text mining. It may also be used consistent with the principles of fair use.": None,
    "NIHMS manuscript. Users may view, print, copy, and download text for the purposes of academic research": None,
    "All rights reserved by the Elsevier B.V. group, printed by acc. of the SA board": None,
    # Codes and addresses as they are mistyped.
    "CCBYNC": "CC-BY-NC",
    "CCBYNCND": "CC-BY-NC-ND",
    "CC BYNC 4.0": "CC-BY-NC-4.0",
    "CC BY\u2011NC\u2011ND 4.0": "CC-BY-NC-ND-4.0",
    "CC BY -\nNC 4.0": "CC-BY-NC-4.0",
    "https://creativecommons.org/licenses/by%2Dnc/4.0/": "CC-BY-NC-4.0",
    "https://creativecommons.org/licenses/by%252Dnc/4.0/": "CC-BY-NC-4.0",
    "https://creativecommons.org/licenses/by -nc/4.0/": "CC-BY-NC-4.0",
    "https://creativecommons.org/licenses/bync-nd/4.0/": "CC-BY-NC-ND-4.0",
    "https://creativecommons.org/licenses/nc-sa/1.0/": "unknown",
    "licence: BY-NC-ND": "CC-BY-NC-ND",
    "C.C. BY-N.C. 4.0": "CC-BY-NC-4.0",
    "\uff23\uff23 \uff22\uff39 4.0": "CC-BY-4.0",
    # What a licence is named for.
    "Code is released under CC0": None,
    "Figure 1 is reproduced under CC BY 4.0": None,
    "The data of this article are under CC0 (http://creativecommons.org/publicdomain/zero/1.0/).": None,
    "All rights reserved. The Creative Commons CC0 waiver applies to the data in this article.": None,
    "This article is under CC BY 4.0 and its data are under CC0": "CC-BY-4.0",
    "This data paper is under CC BY 4.0": "CC-BY-4.0",
    "This article is under the CC BY 4.0 licence, which permits use of text, figures and data": "CC-BY-4.0",
    # Denied.
    "This article is not distributed under a Creative Commons licence (CC BY)": "unknown",
    "Published under no Creative Commons licence; CC BY articles are marked": "unknown",
    "The CC BY licence does not apply to this article": "unknown",
    "The CC BY 4.0 licence does not apply to third-party content": "CC-BY-4.0",
    "Except where otherwise noted, this article is under CC BY 4.0": "CC-BY-4.0",
    "Licensed under CC BY 4.0. The images in this article are included in its licence. If material is not included in the "
    "article's Creative Commons licence, ask for permission": "CC-BY-4.0",
    "CC0. All rights reserved.": "unknown",
    "http://doi.wiley.com/10.1002/tdm_license_1.1": "unknown",
    # What publishers add beside an NC licence changes nothing.
    "CC BY-NC-ND 4.0. For commercial re-use, please write to us": "CC-BY-NC-ND-4.0",
}
ALLOWED = (
    "permits any use, including commercial use",
    "permits re-use including for commercial purposes, provided that the authors are named",
    "copy and redistribute for any purpose, even commercially",
    "permits others to distribute and adapt this work, for commercial use, provided it is cited",
    "commercial use is permitted",
    "allows commercial use",
    "for commercial or noncommercial purposes",
    "may be used, both commercially and non-commercially, without further permission",
    "No use is permitted which does not comply with these terms",
    "published by a non-profit organization",
    "work by the Department of Commerce",
    # BMJ, beside each of its licences.
    "No commercial use is permitted unless otherwise expressly granted",
)
FORBIDDEN = (
    "This licence permits non-commerical use",
    "Commercial use is not permitted",
    "commercial use is prohibited",
    "may be used noncommercially",
    "may be used non\ncommercially",
    "for non\u00adcommercial use",
    "for non-com-\nmercial use",
    "No commercial re-use",
    "Any commercial exploitation is prohibited",
    "commercial use requires permission",
    "permits use for any purpose except commercial",
    "permits use, but not for commercial gain",
    "allows commercial use by agreement with the publisher",
    "Commercial or non-commercial use requires permission",
    "Neither commercial nor non-commercial use is allowed",
    "including commercial use is prohibited",
    "for uncommercial use",
    "for not-for-profit use",
    "nicht-kommerzielle Nutzung",
    "nicht kommerziell",
    "gewerbliche Nutzung untersagt",
    "utilisation non commerciale",
    "fins non commerciales",
    "sin \u00e1nimo de lucro",
    "uso no comercial",
    "uso n\u00e3o comercial",
    "uso non commerciale",
    "niet-commercieel gebruik",
    "u\u017cycie niekomercyjne",
    "\u043d\u0435\u043a\u043e\u043c\u043c\u0435\u0440\u0447\u0435\u0441\u043a\u043e\u0435",
)
LIMITED = (
    "Resale is not permitted",
    "Commerical use is prohibited",
    "Use by companies requires a fee",
    "Commercial use is permitted in exchange for royalties",
    "Text and data mining is not permitted",
    "It is not to be used for the training of models",
    "CC BY-NonCom 4.0",
    "CC BY N C 4.0",
    "CC BY–N–C",
    "http://creativecommons.org/licenses/by.nc/4.0",
    "For non-profit use only",
    "for personal use only",
    "for educational use only",
    "Only for academic use",
    "for research purposes only",
    "exclusively for teaching",
    "Use is limited to private study",
    "for your own personal use",
    "for data mining only",
    "It may not be sold",
    "No part of this article may be reproduced",
    "Reproduction in any form is prohibited",
    "See http://www.elsevier.com/open-access/userlicense/1.0/",
)


@pytest.mark.parametrize(("statement", "expected"), WORDINGS.items())
def test_wording(statement: str, expected: str | None) -> None:
    assert license_in(statement) == expected


@pytest.mark.parametrize("sentence", ALLOWED)
def test_allowed(sentence: str) -> None:
    assert license_in(sentence) in (None, "public-domain")
    assert license_in(f"CC BY 4.0: {sentence}.") == "CC-BY-4.0"
    assert beside_cc_by(sentence) == "CC-BY-4.0"


@pytest.mark.parametrize("sentence", FORBIDDEN)
def test_forbidden(sentence: str) -> None:
    assert license_in(f"{sentence}.") == "non-commercial"
    assert license_in(f"Under CC BY 4.0. {sentence}.") == "CC-BY-NC"
    assert beside_cc_by(sentence) == "non-commercial"


@pytest.mark.parametrize("sentence", LIMITED)
def test_limited(sentence: str) -> None:
    assert not is_allowed(beside_cc_by(sentence), "commercial")
    assert not is_allowed(license_in(f"CC0. {sentence}.") or "", "cc0")


def beside_cc_by(sentence: str) -> str:
    """In the text of the licence and in the copyright statement it is the same."""
    of_license, of_copyright = (
        meta(
            '<permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/">'
            f"<license-p>{in_license}</license-p></license>"
            f"<copyright-statement>{in_copyright}</copyright-statement></permissions>"
        )
        for in_license, in_copyright in ((sentence, ""), ("", sentence))
    )
    assert of_license == of_copyright
    return of_license


def meta(xml: str) -> str:
    namespaces = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:ali="http://www.niso.org/schemas/ali/1.0/"'
    return article_license(etree.fromstring(f"<article-meta {namespaces}>{xml}</article-meta>"))


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("", "no-license"),
        (
            "<permissions><copyright-statement>© 2010 A. Publisher</copyright-statement></permissions>",
            "no-license",
        ),
        (
            "<permissions><license><license-p>Ask the publisher.</license-p></license></permissions>",
            "unknown",
        ),
        ('<permissions><license license-type="cc-by"/></permissions>', "CC-BY"),
        (
            "<permissions><ali:license_ref>https://creativecommons.org/licenses/by/4.0/</ali:license_ref></permissions>",
            "CC-BY-4.0",
        ),
        (
            "<permissions><license><ali:license_ref>http://creativecommons.org/licenses/by-nc/4.0/</ali:license_ref></license>"
            "</permissions>",
            "CC-BY-NC-4.0",
        ),
        (
            '<permissions><license><license-p>See <ext-link xlink:href="http://creativecommons.org/licenses/by/2.0">here'
            "</ext-link></license-p></license></permissions>",
            "CC-BY-2.0",
        ),
        # The strictest counts: the address says BY, the sentence non-commercial.
        (
            '<permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"><license-p>Creative Commons '
            "Attribution License, for non-commercial use only.</license-p></license></permissions>",
            "CC-BY-NC",
        ),
        (
            '<permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"/>'
            '<license xlink:href="http://creativecommons.org/licenses/by-nc-nd/4.0/"/></permissions>',
            "CC-BY-NC-ND-4.0",
        ),
        # A waiver for the data: by its words, by the link in them, and by the address of the element that holds them.
        (
            "<permissions><copyright-statement>All rights reserved.</copyright-statement><license><license-p>The waiver "
            '<ext-link xlink:href="http://creativecommons.org/publicdomain/zero/1.0/">CC0</ext-link> applies to the data.'
            "</license-p></license></permissions>",
            "unknown",
        ),
        (
            '<permissions><license license-type="cc0" xlink:href="http://creativecommons.org/publicdomain/zero/1.0/">'
            "<license-p>The CC0 waiver applies to the data.</license-p></license></permissions>",
            "unknown",
        ),
        (
            '<permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"><license-p>This article is under a '
            "Creative Commons Attribution License. The Creative Commons Public Domain Dedication waiver ("
            '<ext-link xlink:href="http://creativecommons.org/publicdomain/zero/1.0/">address</ext-link>) applies to the data '
            "made available in this article, unless otherwise stated.</license-p></license></permissions>",
            "CC-BY-4.0",
        ),
        (
            '<permissions><license license-type="CCBYNC"><license-p>CC BY</license-p></license></permissions>',
            "CC-BY-NC",
        ),
        (
            '<permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"/>'
            "<ali:license_ref>http://doi.wiley.com/10.1002/tdm_license_1.1</ali:license_ref></permissions>",
            "unknown",
        ),
        # The copyright statement is always asked.
        (
            "<permissions><copyright-statement>Re-use permitted under CC BY-NC. No commercial re-use.</copyright-statement>"
            '<license xlink:href="http://creativecommons.org/licenses/by/4.0/"/></permissions>',
            "CC-BY-NC",
        ),
        # NLM 2.x without permissions, and the licence in the copyright statement of early PLoS.
        (
            "<copyright-statement>This is an article under the Creative Commons Attribution License</copyright-statement>",
            "CC-BY",
        ),
        # A figure's licence is not the article's.
        (
            '<sec><fig><permissions><license xlink:href="http://creativecommons.org/licenses/by/4.0/"/></permissions></fig></sec>',
            "no-license",
        ),
    ],
)
def test_article_license(xml: str, expected: str) -> None:
    assert meta(xml) == expected


def test_choice() -> None:
    commercial = [
        "CC0",
        "CC-BY",
        "CC-BY-4.0",
        "CC-BY-3.0-IGO",
        "CC-BY-SA-4.0",
        "CC-BY-ND-4.0",
        "public-domain",
    ]
    refused = [
        "CC-BY-NC",
        "CC-BY-NC-SA-3.0",
        "CC-BY-NC-ND-4.0",
        "non-commercial",
        "OGL",
        "unknown",
        "no-license",
    ]
    assert [name for name in commercial + refused if is_allowed(name, "commercial")] == commercial
    assert [name for name in commercial + refused if is_allowed(name, "cc0")] == ["CC0"]
    assert all(is_allowed(name, "any") for name in commercial + refused)


def test_strictest() -> None:
    assert strictest(["CC-BY", "CC0", "CC-BY-4.0"]) == "CC-BY-4.0"
    assert strictest(["CC-BY-NC", "CC-BY-4.0"]) == "CC-BY-NC"
    assert strictest(["unknown", "CC-BY-NC-ND-4.0"]) == "unknown"
    assert strictest([]) is None
