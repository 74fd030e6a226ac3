"""From files to a frozen data set: sources, filters, histories, and the embedded demo world."""
