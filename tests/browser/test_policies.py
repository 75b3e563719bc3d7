"""What a real browser says of the policies of the pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route

from demo_server import DemoServer

pytestmark = pytest.mark.browser

WATCH = """
window.violations = []
document.addEventListener('securitypolicyviolation', one => {
    window.violations.push(`${one.violatedDirective} ${one.blockedURI}`)
})
"""
SWAGGER = "window.SwaggerUIBundle = asked => { window.asked = asked.url; }; SwaggerUIBundle.presets = {}"


def violations(page: Page) -> list[str]:
    found: list[str] = page.evaluate("window.violations")
    return found


@pytest.mark.rule("OR6")
def test_docs(browser: Browser, server: DemoServer) -> None:
    """Its scripts run, those from elsewhere and its own; one that somebody put in does not, nor does the page ask elsewhere."""

    def from_elsewhere(route: Route) -> None:
        script = route.request.url.endswith(".js")
        route.fulfill(body=SWAGGER if script else "", content_type="text/javascript" if script else "text/css")

    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        page.route("https://cdn.jsdelivr.net/**", from_elsewhere)
        page.goto(f"{server.url}docs")
        assert page.evaluate("window.asked") == "/openapi.json"
        assert violations(page) == []
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.evil = 1'}))")
        page.evaluate("fetch('http://localhost:1/').catch(() => {})")
        page.wait_for_function("window.violations.length === 2")
        assert page.evaluate("window.evil") is None
        assert sorted(one.split()[0] for one in violations(page)) == ["connect-src", "script-src-elem"]


@pytest.mark.rule("OR6")
def test_a_document_as_a_page(browser: Browser, server: DemoServer) -> None:
    """What a document holds runs nothing on the server's origin when a browser is shown the address of its HTML."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        page.evaluate(
            """async () => {
                const operations = [{type: 'insert', position: ['body', 0], content: '<script>window.evil = 1</script>'}]
                const body = JSON.stringify({document_id: 'policy', operations, base: null})
                await fetch('/api/v2/realtime/operations', {method: 'POST', body})
            }"""
        )
        page.goto(f"{server.url}api/v2/documents/policy?format=html")
        assert "<script>window.evil" in page.inner_text("body")
        assert page.evaluate("[window.evil ?? null, window.origin]") == [None, "null"]
