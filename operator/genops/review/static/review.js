// Judge one pair at a time. Whatever comes from models, data or people is put into the page as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const CHOICES = ["A", "B", "Tie", "Bad"];
const KEYS = { ArrowLeft: "A", ArrowRight: "B", ArrowDown: "Tie", ArrowUp: "Bad" };
const name = decodeURIComponent(location.pathname.split("/")[2] || "");
let session, card, chosen, sending = false;

async function ask(path, body) {
  const how = body && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": session.csrf },
    body: JSON.stringify(body),
  };
  const answer = await fetch(path, how);
  if (answer.status === 401) location.replace("/login");
  const said = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Error(said.error);
  return said;
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

async function shown(side) {
  const at = `/api/e/${encodeURIComponent(name)}/${card.card}/${side}`;
  const parts = [];
  if (card.media.includes("png")) {
    const image = element("img", { src: `${at}.png`, alt: `Sample ${side.toUpperCase()}` });
    await image.decode().catch(() => { throw new Error(`Sample ${side.toUpperCase()} cannot be shown`); });
    parts.push(image);
  }
  if (card.media.includes("wav")) parts.push(element("audio", { src: `${at}.wav`, controls: true, id: `play-${side}` }));
  if (card.media.includes("txt")) {
    const answer = await fetch(`${at}.txt`);
    if (!answer.ok) throw new Error(`Sample ${side.toUpperCase()} cannot be shown`);
    parts.push(element("pre", { textContent: await answer.text() }));
  }
  return parts;
}

async function show(next) {
  card = next;
  $("bar").max = Math.max(card.total, 1);
  $("bar").value = card.done;
  $("count").textContent = `${card.done} of ${card.total}`;
  $("over").hidden = card.card !== null;
  if (card.card === null) {
    $("judging").hidden = true;
    return;
  }
  const [a, b] = await Promise.all([shown("a"), shown("b")]);
  $("question").textContent = card.question;
  $("prompt").textContent = card.prompt;
  $("listen").hidden = !card.media.includes("wav");
  $("comment").value = "";
  choose(null);
  $("sample-a").replaceChildren(...a);
  $("sample-b").replaceChildren(...b);
  $("judging").hidden = false;
  $("judging").dataset.card = card.card;
}

function choose(choice) {
  chosen = choice;
  for (const each of CHOICES) $(each).setAttribute("aria-pressed", String(each === choice));
  $("send").disabled = choice === null;
}

async function send() {
  if (chosen === null || sending) return;
  sending = true;
  await told(async () => {
    const said = { card: card.card, choice: chosen, comment: $("comment").value };
    await show(await ask(`/api/e/${encodeURIComponent(name)}`, said));
  });
  sending = false;
}

function play(side) {
  for (const each of document.querySelectorAll("audio")) each.pause();
  $(`play-${side}`)?.play();
}

function pressed(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || $("judging").hidden) return;
  const writing = event.target === $("comment");
  const does = {
    Enter: send,
    Escape: () => $("comment").blur(),
    ...(writing ? {} : { c: () => $("comment").focus(), q: () => play("a"), w: () => play("b") }),
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!writing && KEYS[key]) does[key] = () => choose(KEYS[key]);
  if (!does[key] || (writing && event.shiftKey)) return;
  event.preventDefault();
  does[key]();
}

async function told(work) {
  $("error").textContent = "";
  try {
    await work();
  } catch (error) {
    $("error").textContent = error.message;
  }
}

async function list() {
  const found = await ask("/api/evaluations");
  const rows = found.map((each) => {
    const row = element("li", {});
    const link = element("a", { href: `/e/${encodeURIComponent(each.name)}`, textContent: each.name });
    row.append(link, ` ${each.question}`);
    return row;
  });
  $("list").replaceChildren(...(rows.length ? rows : [element("li", { textContent: "None at the moment." })]));
}

async function begin() {
  session = await ask("/api/session");
  $("who").textContent = `You judge as ${session.name}`;
  if (!name) return list();
  document.title = `genops review: ${name}`;
  for (const each of CHOICES) $(each).addEventListener("click", () => choose(each));
  $("send").addEventListener("click", send);
  document.addEventListener("keydown", pressed);
  return show(await ask(`/api/e/${encodeURIComponent(name)}`));
}

told(begin);
