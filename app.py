"""Start the app: python app.py [--host H] [--port P] [--mcp]."""

from pix2pix.ui.server import main

if __name__ == "__main__":
    main()
