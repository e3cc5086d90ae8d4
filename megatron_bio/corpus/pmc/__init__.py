"""PMC's full texts: open-access packages and single JATS files → articles their licence allows → documents."""
