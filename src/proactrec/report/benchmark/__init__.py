"""Tables, plots and page of a benchmark, with the extra `report`."""

import proactrec.report.drawing  # noqa: F401  # says what to install where matplotlib is missing
