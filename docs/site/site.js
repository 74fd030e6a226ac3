const NAMES = {
  ".md-typeset__scrollwrap": "table",
  ".md-typeset pre > code": "code",
  ".md-typeset p:has(img)": "picture",
  ".formula": "formula",
};
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
// Sentences in tables get more room than figures.
function roomy() {
  for (const cell of document.querySelectorAll(".md-typeset td")) {
    cell.classList.toggle("long", cell.textContent.length > 60);
  }
}
// Where there is no room, a name is torn after its dots and underscores.
function tearable() {
  for (const name of document.querySelectorAll(".doc-module-name, .md-typeset td > code")) {
    if (!name.childElementCount) name.innerHTML = name.innerHTML.replace(/([._/])(?=\w)/g, "$1<wbr>");
  }
}
// What scrolls can be reached by the keyboard, and says what it is.
function reachable() {
  for (const [what, name] of Object.entries(NAMES)) {
    for (const box of document.querySelectorAll(what)) {
      if (box.clientWidth && box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", name);
      }
    }
  }
}
addEventListener("load", () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  keepWhole();
  tearable();
  roomy();
  reachable();
});
addEventListener("resize", reachable);
