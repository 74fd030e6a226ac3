const SCROLLING = ".md-typeset__scrollwrap, .md-typeset pre > code, .md-typeset p:has(img)";
// An option is not torn after its hyphens.
function keepWhole() {
  for (const code of document.querySelectorAll(".md-typeset :not(pre) > code")) {
    if (code.childElementCount || !code.textContent.includes("--")) continue;
    const parts = code.textContent.split(/((?<=^|\s)--[\w-]+)/);
    code.replaceChildren(...parts.map((part, n) => {
      const span = document.createElement("span");
      span.className = n % 2 ? "whole" : "";
      span.textContent = part;
      return span;
    }));
  }
}
// What scrolls can be reached by the keyboard, and says what it is.
function reachable() {
  for (const box of document.querySelectorAll(SCROLLING)) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", box.matches("code") ? "code" : box.matches("p") ? "picture" : "table");
    }
  }
}
addEventListener("load", () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  keepWhole();
  reachable();
});
addEventListener("resize", reachable);
