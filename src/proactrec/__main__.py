"""The command `proactrec`, for ``python -m proactrec`` and ``torchrun -m proactrec``."""

from proactrec.cli.main import main

if __name__ == "__main__":
    main()
