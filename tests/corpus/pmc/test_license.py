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
}


@pytest.mark.parametrize(("statement", "expected"), WORDINGS.items())
def test_wording(statement: str, expected: str | None) -> None:
    assert license_in(statement) == expected


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
