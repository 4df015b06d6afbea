// Shortcuts, enlarged pictures and drafts. Without this file the page is a plain form that works.
"use strict";

(() => {
  for (const url of document.body.dataset.ahead.split(" ").filter(Boolean)) new Image().src = url;

  const form = document.querySelector("form.questions");
  const draftName = form?.getAttribute("action");
  forgetSent();
  if (!form) return;

  const questions = [...form.querySelectorAll("fieldset")];
  const answered = (question) => question.querySelector("input:checked") !== null;
  const firstOpen = () => questions.findIndex((question) => !answered(question));
  let now = Math.max(0, firstOpen());

  const goTo = (index, scroll = true) => {
    now = Math.min(Math.max(index, 0), questions.length - 1);
    questions.forEach((question, at) => question.classList.toggle("now", at === now));
    if (scroll) questions[now].scrollIntoView({ block: "nearest", behavior: "smooth" });
  };

  const tell = () => {
    const open = questions.filter((question) => !answered(question)).length;
    form.querySelector(".left").textContent = open ? `${open} to answer` : "";
  };

  // A draft outlives the tab, and the answers' way to the server, which may fail.
  const keep = () => {
    const draft = [...new FormData(form)];
    try { localStorage.setItem(draftName, JSON.stringify(draft)); } catch { /* a private window keeps none */ }
    tell();
  };
  const restore = () => {
    let draft = [];
    try { draft = JSON.parse(localStorage.getItem(draftName) ?? "[]"); } catch { return; }
    for (const [name, value] of draft) {
      if (name === "note") form.elements.note.value = value;
      else form.querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`)?.click();
    }
  };

  const answer = (value) => {
    questions[now].querySelector(`input[value="${value}"]`).click();
    const open = questions.findIndex((question, at) => at > now && !answered(question));
    goTo(open >= 0 ? open : Math.max(firstOpen(), now));
  };

  const send = () => {
    if (firstOpen() < 0) form.requestSubmit();
    else goTo(firstOpen());
  };

  form.addEventListener("change", (event) => {
    const at = questions.indexOf(event.target.closest("fieldset"));
    if (at >= 0) goTo(at, false);
    keep();
  });
  form.addEventListener("input", keep);
  form.addEventListener("submit", () => {
    try { sessionStorage.setItem("sent", draftName); } catch { /* as above */ }
  });

  const dialog = document.querySelector("dialog");
  const pictures = [...document.querySelectorAll(".picture")];
  let shown = 0;

  const show = (index) => {
    shown = (index + pictures.length) % pictures.length;
    const image = pictures[shown].querySelector("img");
    dialog.querySelector("img").src = image.src;
    dialog.querySelector("img").alt = image.alt;
    dialog.querySelector("span").textContent = image.alt;
    if (!dialog.open) dialog.showModal();
  };

  pictures.forEach((picture, at) => picture.addEventListener("click", () => show(at)));
  dialog.querySelector("img").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    const step = event.target.dataset.step;
    if (step === "0" || event.target === dialog) dialog.close();
    else if (step) show(shown + Number(step));
  });

  const inDialog = {
    ArrowLeft: () => show(shown - 1),
    ArrowRight: () => show(shown + 1),
    z: () => dialog.close(),
  };
  const onPage = {
    1: () => answer(1), y: () => answer(1), 0: () => answer(0), n: () => answer(0),
    ArrowDown: () => goTo(now + 1), ArrowUp: () => goTo(now - 1),
    Enter: send,
    b: () => location.assign(form.dataset.back), s: () => location.assign(form.dataset.next),
    z: () => show(Number(document.querySelector(".look").dataset.first)),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.target.matches("textarea")) {
      if (key === "Escape") event.target.blur();
      return;
    }
    if (key === "Enter" && event.target.matches("a, button")) return;
    const act = (dialog.open ? inDialog : onPage)[key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  function forgetSent() {
    try {
      const sent = sessionStorage.getItem("sent");
      if (sent && sent !== draftName) localStorage.removeItem(sent);
    } catch { /* as above */ }
  }

  restore();
  goTo(Math.max(0, firstOpen()), false);
  tell();
})();
