"""The files that this library has been tried with, by the checksum of their content; docs/downstream-data.md shows the same."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownFile:
    """One file as its distributors give it, decompressed."""

    benchmark: str
    part: str
    kind: str
    name: str
    size: int
    """Bytes."""
    sha256: str
    counts: Mapping[str, int]
    """What the readers find in it, less what depends on the sentence splitter. Those of ChemProt's files stand at the abstracts."""


_TABLE = """
BC2GM | devel | IOB | devel.tsv | 577660
33a94577aa22f1e70ec9e02781a05baa4e1390e866d28bf2b344888e4e3d4103
sentences = 2519; words = 71042; entities = 3061
BC2GM | train | IOB | train.tsv | 2894167
46e17f4e1509483b82c03f27d6f0214020f738fb71704356fb3445eb824ab38d
sentences = 12574; words = 355405; entities = 15197
BC5CDR-chem | devel | IOB | devel.tsv | 976029
3f1df5cfcff95735663ffc37121fd3687e82b1e9a019bec0480491502652721b
sentences = 4581; words = 117453; entities = 5347
BC5CDR-chem | train | IOB | train.tsv | 983140
165c4cd2efadd0caf1bb8f3c6bcd3acca199446bb3d55eb06d9137114c9a0b2d
sentences = 4560; words = 118170; entities = 5203
BC5CDR-disease | devel | IOB | devel.tsv | 967926
8c3af95475029c2100c2b7c0108b2715bc700ac198c7a21d587f11f1d06b17bd
sentences = 4581; words = 117453; entities = 4246
BC5CDR-disease | train | IOB | train.tsv | 976013
d630dafe7dd67e21350cc3278dbdcfadcccbb2b63d0fda83b2427853988e5ad9
sentences = 4560; words = 118170; entities = 4182
NCBI-disease | devel | IOB | devel.tsv | 200352
b4e1e7efcc2a35047bf2f3d281648357470e674f555d4a26a0049ac37d59cc61
sentences = 923; words = 23969; entities = 787
NCBI-disease | train | IOB | train.tsv | 1137445
58379baf4614b8d757d93dd7a21b202849ca99f9b9d71b49185523ff5443300c
sentences = 5424; words = 135701; entities = 5134
ChemProt | development | ChemProt | chemprot_development_abstracts.tsv | 996720
186a45a6b604d602c3fcf2a04fe6cc9b5f5d6dbe5542babfc685d56db1fd617d
documents = 612; entities = 15567; relations = 2416
ChemProt | development | ChemProt | chemprot_development_entities.tsv | 625293
7b75bd8e5397a72a29a387bb12f847487938b7469c84d04b289ccaa8009ec12a
ChemProt | development | ChemProt | chemprot_development_gold_standard.tsv | 77885
7fc258e29160c18807b12cb34e30fce6a4c26df835247febaafa21dc49e6ec60
ChemProt | development | ChemProt | chemprot_development_relations.tsv | 170302
dff73eb2a6f88137d6d358e713bfd56d6cba047013105f2a742ec660448379a7
ChemProt | sample | ChemProt | chemprot_sample_abstracts.tsv | 83895
662f468a3c7efe3b1ca63cc9471545c287a3d17ad0e00963631261112c4aa0a7
documents = 50; entities = 1289; relations = 239
ChemProt | sample | ChemProt | chemprot_sample_entities.tsv | 51814
168cca52c083b0a60bd4d807465ae52ee5082148adb1902757b5e312bdd2fec7
ChemProt | sample | ChemProt | chemprot_sample_gold_standard.tsv | 7702
8fda6a152dabb1367109b42fbeeafefa334de6ea0a0e7c3e0aba7f7e3e35d81b
ChemProt | sample | ChemProt | chemprot_sample_relations.tsv | 16491
9e968505a93e58d5b483d5127f4f6a46f9c2bbf9f3a82d87ff7fe495b870123e
ChemProt | training | ChemProt | chemprot_training_abstracts.tsv | 1651352
2eef8782dc6c1474115ce5b780d6b4bc8f68d98e34fbf1619b9502fafc97685b
documents = 1020; entities = 25752; relations = 4157
ChemProt | training | ChemProt | chemprot_training_entities.tsv | 1034121
ec01f954803d6854965b36b4c222001246b93b683a8fde4f4944132779161a7e
ChemProt | training | ChemProt | chemprot_training_gold_standard.tsv | 134129
dc1333bf582ecf67ca1a1fe05c27bfaa03969a5ef3d70543d0c7a90e2dd9896e
ChemProt | training | ChemProt | chemprot_training_relations.tsv | 308200
f7fad40e618b60a048db7131ddbc49d8b1cf06340528bbdbd9cf30026d72eb85
BioASQ | 4B1 golden | BioASQ | 4B1_golden.json | 328023
93d22b6e0302c0d738b1300879b60824919469bc84098c194de1546051881764
questions = 100; snippets = 641; yes/no answers = 28
BioASQ | 4B2 golden | BioASQ | 4B2_golden.json | 351924
7f0f9c3c2861d480ce9d08c589b1028586636ceef257ea849d413d59a0c69eca
questions = 100; snippets = 698; yes/no answers = 32
BioASQ | 4B3 golden | BioASQ | 4B3_golden.json | 354814
b78f006f65999f4f3617dffa34ec780aa789793c192f1053cd9eae05b7258e90
questions = 100; snippets = 646; yes/no answers = 25
BioASQ | 4B4 golden | BioASQ | 4B4_golden.json | 392571
f9ca81f2f04197a84f1fb8b6c92a80f8dbc9d8f1ed702663bc7e5be017fdbeae
questions = 100; snippets = 725; yes/no answers = 21
BioASQ | 4B5 golden | BioASQ | 4B5_golden.json | 352399
039297e7d1ac4f9ebf5af0c84b778b636e7c0df17b9cabeb10d041202bef6d55
questions = 97; snippets = 592; yes/no answers = 27
BioASQ | 5B1 golden | BioASQ | 5B1_golden.json | 310057
43ab01cc85297fc501ca988fe89f42cfaa075755f5e373c5318e8b371973bac6
questions = 100; snippets = 603; yes/no answers = 17
BioASQ | 5B2 golden | BioASQ | 5B2_golden.json | 270807
f04ae77b6e2919b894fe5978ff8c896e8e5d01ca42c70d2cc2205cfe7a715f0c
questions = 100; snippets = 513; yes/no answers = 27
BioASQ | 5B3 golden | BioASQ | 5B3_golden.json | 296347
d7576d44432bfbeb84e058d2a2edc75da4a08c9bdfda3f380b4f91fdee818942
questions = 100; snippets = 547; yes/no answers = 31
BioASQ | 5B4 golden | BioASQ | 5B4_golden.json | 289950
88544bc48b1a26b597cdce554efe720971c09c97af9ff5b8a33d3c7c40cf6b34
questions = 100; snippets = 452; yes/no answers = 29
BioASQ | 5B5 golden | BioASQ | 5B5_golden.json | 303672
4f0bf495ae08348fb7c0a5e9a91e1dc9a1cbaee90240759741289c110e82e4b9
questions = 100; snippets = 501; yes/no answers = 26
BioASQ | 6B1 golden | BioASQ | 6B1_golden.json | 497777
c1f54e9137df100cb4d3f3b8926530a87b22b7fc564ab0d268b45fb806f9efb2
questions = 100; snippets = 957; yes/no answers = 32
BioASQ | 6B2 golden | BioASQ | 6B2_golden.json | 723753
e1a4652dc16c8d2895b8a85d6271e2be0bc59f4e4aa2e66aafbc7debb58cd009
questions = 100; snippets = 1137; yes/no answers = 26
BioASQ | 6B3 golden | BioASQ | 6B3_golden.json | 609913
86dbe0bbbbacccff64e541c9369bec3e3f57ce3f094c8e5ff61557a7792b4067
questions = 100; snippets = 1283; yes/no answers = 25
BioASQ | 6B4 golden | BioASQ | 6B4_golden.json | 375357
2493c47e5d4a22c677fb30075523d047567f821598a45bc080528e360c2c4d2d
questions = 100; snippets = 789; yes/no answers = 27
BioASQ | 6B5 golden | BioASQ | 6B5_golden.json | 447186
15cc299859d414044e2f7c1710c3013bfc97de23432b58e5878c2386b135d60b
questions = 100; snippets = 895; yes/no answers = 20
BioASQ | 7b train factoid | SQuAD | bioasq7b-train-factoid-snippet.json | 2495648
f5911f9b0dd9e54780fc0b00f193b3b91f10138c1c89d8d32e58ec7f9f4ca60a
texts = 4282; questions = 5813
MedQA | sample | MedQA | medqa-us-4options-sample200.jsonl | 316967
97def5a6b617b0e73455805ed8980dd6b46a977ae760feac3bc8f9af5d700d77
questions, by the right option = 200
PubMedQA | train-dev | PubMedQA | pubmedqa-train-dev.json | 1101895
75c5eed8449ad375d582f88d230dcc523fe4e4cecc051a9896d0afa31bda6b74
questions = 500
SQuAD | 2.0 dev half | SQuAD | squad2-dev-half.json | 1051415
288e2db13193718b847dd1610154318f4786385b9d1c1963fe15a56ce88d315a
texts = 294; questions = 2805
"""


def _parsed(table: str) -> dict[str, KnownFile]:
    """Each file has a line with its names and size, one with its checksum, and perhaps one with counts."""
    known: dict[str, KnownFile] = {}
    for entry in re.split(r"\n(?=[^\n]+\|)", table.strip()):
        head, sha256, *counts = entry.splitlines()
        benchmark, part, kind, name, size = head.split(" | ")
        pairs = (count.partition(" = ") for line in counts for count in line.split("; "))
        known[sha256] = KnownFile(
            benchmark=benchmark,
            part=part,
            kind=kind,
            name=name,
            size=int(size),
            sha256=sha256,
            counts=MappingProxyType({what: int(number) for what, _, number in pairs}),
        )
    return known


KNOWN: Final[Mapping[str, KnownFile]] = MappingProxyType(_parsed(_TABLE))
"""By sha256."""
