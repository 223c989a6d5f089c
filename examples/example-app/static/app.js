'use strict';

// Shows at once that the user is signed out, when the server says so. Without this script, the next page says it.
const events = new EventSource('/events');

function signedOut(notice) {
  events.close();
  document.getElementById('session').replaceChildren(document.getElementById(notice).content.cloneNode(true));
  document.getElementById('login-title').textContent = 'Sign in';
  document.querySelector('.who')?.remove();
  document.querySelector('nav a[href="/tokens"]')?.remove();
}

events.addEventListener('backchannel-logout', () => signedOut('told'));
events.addEventListener('logout', () => signedOut('ended'));
