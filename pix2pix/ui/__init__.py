"""The page, by tab. Only this package imports gradio.

HTML and CSS lie beside their module, JavaScript in `web`.
"""
