// Log in. The address that was printed carries its secret behind #, which browsers send nowhere.
"use strict";

const given = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", "/login");
const form = document.getElementById("form");
const secret = document.getElementById("secret");

function target() {
  const to = given.get("to") || "/";
  return /^\/(e\/[a-z0-9-]+)?$/.test(to) ? to : "/";
}

async function logIn(event) {
  event?.preventDefault();
  const answer = await fetch("/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ secret: secret.value.trim() }),
  });
  if (answer.ok) {
    location.replace(target());
    return;
  }
  const said = await answer.json().catch(() => ({ error: answer.statusText }));
  document.getElementById("error").textContent = said.error;
}

form.addEventListener("submit", logIn);
if (given.get("secret")) {
  secret.value = given.get("secret");
  logIn();
}
