// The parts of a page that change by themselves. Everything works without this script, too.
(function () {
  'use strict';
  var body = document.body, lost = null, waiting = {}, source = null, typed = false, pause = 2000;

  function tellLost(is) {
    if (is && !lost && body.dataset.lost) {
      lost = document.createElement('p');
      lost.id = 'lost';
      lost.className = 'notice warning';
      lost.setAttribute('role', 'status');
      lost.textContent = body.dataset.lost;
      body.querySelector('main').prepend(lost);
    } else if (!is && lost) {
      lost.remove();
      lost = null;
    }
  }

  // Whoever has filled something in keeps it: the way to the login is shown instead of taken.
  function toLogin() {
    if (!typed) { location.assign('/login'); return; }
    if (document.getElementById('ended')) { return; }
    var link = document.createElement('a');
    link.id = 'ended';
    link.className = 'notice warning';
    link.href = '/login';
    link.target = '_blank';
    link.textContent = body.dataset.ended;
    body.querySelector('main').prepend(link);
  }

  // Server-drawn parts, each into the element of its name; what somebody fills in waits until they leave it.
  function put(id, html) {
    var place = document.getElementById(id), hands = document.activeElement;
    delete waiting[id];
    if (!place || place.innerHTML === html) { return; }
    if (place.contains(hands) && /^(INPUT|SELECT|TEXTAREA|BUTTON)$/.test(hands.tagName)) {
      // A button that is gone is pressed no more.
      if (hands.tagName !== 'BUTTON' || html.indexOf('<button') >= 0) { waiting[id] = html; return; }
    }
    place.innerHTML = html;
  }

  document.addEventListener('input', function () { typed = true; });
  document.addEventListener('focusout', function () {
    setTimeout(function () { Object.keys(waiting).forEach(function (id) { put(id, waiting[id]); }); }, 0);
  });

  function follow() {
    source = new EventSource('/live?page=' + encodeURIComponent(body.dataset.live));
    source.addEventListener('part', function (event) {
      var part = JSON.parse(event.data);
      pause = 2000;
      tellLost(false);
      put(part.id, part.html);
    });
    source.addEventListener('silent', function () { tellLost(true); });
    source.addEventListener('ended', function () { source.close(); toLogin(); });
    source.onerror = function () {
      // The browser tries again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) { setTimeout(again, pause); } else { tellLost(true); }
    };
  }

  function again() {
    pause = Math.min(pause * 2, 60000);
    fetch('/session', { cache: 'no-store' }).then(function (answer) {
      tellLost(false);
      if (answer.status === 401) { toLogin(); } else { follow(); }
    }).catch(function () { tellLost(true); setTimeout(again, 2000); });
  }

  window.addEventListener('pagehide', function () { if (source) { source.close(); } });
  window.addEventListener('pageshow', function (event) { if (event.persisted && body.dataset.live) { follow(); } });

  // After a restart: until the host is there again, as another boot; or is still the same after a minute, because it did not go.
  function seek(left) {
    var before = body.dataset.seekBoot, next = body.dataset.seek || '/';
    fetch('/alive', { cache: 'no-store' }).then(function (answer) { return answer.json(); }).then(function (said) {
      return said.state === 'up' && (said.boot_id !== before || left <= 0);
    }).catch(function () { return false; }).then(function (there) {
      if (there) { location.assign(next); } else { setTimeout(function () { seek(left - 1); }, 2000); }
    });
  }

  if (body.dataset.live && window.EventSource) { follow(); }
  if (body.dataset.seek !== undefined) { setTimeout(function () { seek(30); }, 4000); }
}());
