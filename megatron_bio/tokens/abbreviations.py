"""Words that decide whether a full stop ends a sentence (see sentences.py). All but the starters in lower case."""


def _words(block: str) -> frozenset[str]:
    return frozenset(block.split())


NEVER_LAST = _words("""
    e.g i.e eg ie cf vs viz ca approx fig figs eq eqs eqn eqns ref refs tab suppl supp dr drs prof mr mrs ms
    st mt ft messrs hon capt lt sgt abbr
""")
"""Something always follows: `Fig. 2`, `approx. 5 ml`, `vs. Placebo`."""

BEFORE_A_NUMBER = _words("""
    no nos nr nrs vol vols p pp chap ch sect sec art n para pt ser cat lot ed jan feb mar apr jun jul aug sep sept
    oct nov dec grant version ver acc fr pl
""")
"""Abbreviations only when a number follows: `No. 5`, but `The answer was no. Patients …`."""

LAST_BEFORE_A_CAPITAL = _words("al etc spp ssp v")
"""End a sentence before a capital, go on before anything else: `Smith et al. (2004)`, `Candida spp. Fluconazole`."""

SELDOM_LAST = _words("""
    sp subsp subspp var cv str serov bv pv nov gen inc ltd co corp plc gmbh bros jr sr esq
    max av avg ave conc concn temp dil soln wt wts vol est incl excl esp eds resp obs exptl calc dept univ inst assoc
    proc natl acad sci biol chem biochem med pharmacol physiol exp clin lett int am soc hosp microbiol immunol
    neurosci psychiatr psychol surg pediatr toxicol endocrinol metab ther mol comp nutr
    nat hum genet engl neurobiol dis mutat pharm virol oncol cardiol pathol biophys
""")
"""End a sentence only before a word that commonly starts one."""

LETTER_HEADS = _words("""
    vitamin vitamins hepatitis type types group groups class classes grade phase stage virus protein proteins factor
    arm cyclosporin cyclosporine ciclosporin coenzyme immunoglobulin toxin neurotoxin amphotericin degrees degree deg
    ° º complex domain subunit subtype table figure panel appendix antigen lipid allele form site chain peak
    compound pool region experiment angiotensin influenza apolipoprotein apo cathepsin concanavalin
    haemophilia hemophilia polymyxin substance mitomycin bisphenol annexin kappa nf-kappa nf-κ κ lamin serotype
    strain category schedule part
""")
"""A capital letter after one of these is a name of its own, not an initial: `vitamin C. Rats were …`."""

STARTERS = _words("""
    A About Above According Additional Additionally Adult Adverse After Again All Also Although Among Amongst An
    Analyses Analysis And Animals Another Any Approximately Are As Assessment At Background Based Baseline
    Because Before Between Blood Both But By Cells Children Clinical Combined Compared Comparison Conclusion
    Conclusions Consequently Considering Consistent Control Controls Conversely Current Data Despite Different
    Direct Do Does Due During Each Early Effects Efficacy Eight Eighteen Eighty Either Eleven Evaluation Even
    Evidence Experimental Experiments Expression Few Fifteen Fifty Finally Findings First Five Following For
    Forty Four Fourteen From Further Furthermore Given Had Half Has Have Hence Here High Histological How
    However I If Immunohistochemical Importantly In Including Increased Indeed Individuals Infection Initially
    Instead Interestingly Is It Its Laboratory Last Lastly Later Less Like Long Low Male Many Materials Mean
    Meanwhile Measurements Median Men Method Methods Mice More Moreover Most Much Multiple Neither Nevertheless
    Next Nine Nineteen Ninety No None Nonetheless Nor Not Notably Now Objective Objectives Of On Once One Only
    Or Other Our Over Overall Participants Patients Previous Prior Purpose Randomized Rats Recent Recently
    Regarding Regression Results Risk Samples Second Secondary Serum Seven Seventeen Seventy Several Severe She
    Side Significant Significantly Similar Similarly Since Six Sixteen Sixty So Some Specifically Statistical
    Still Studies Study Subjects Subsequently Such Surprisingly Survival Symptoms Taken Ten Than That The Their
    Then There Thereafter Therefore These They Third Thirteen Thirty This Those Though Three Through Thus Time
    To Together Total Treatment Twelve Twenty Two Under Unlike Until Upon Use Using Various We Were What When
    Where Whereas Whether Which While Who With Within Without Women Yet You
""")
"""Words that commonly start a sentence."""
