// The parts of a page that change by themselves. Everything works without this script, too.
(function () {
  'use strict';
  var body = document.body, lost = null, waiting = {};

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

  // Server-drawn parts, each into the element of its name; what is under somebody's hands waits until they leave it.
  function put(id, html) {
    var place = document.getElementById(id);
    if (!place || place.innerHTML === html) { return; }
    if (place.contains(document.activeElement)) { waiting[id] = html; return; }
    delete waiting[id];
    place.innerHTML = html;
  }

  document.addEventListener('focusout', function () {
    setTimeout(function () { Object.keys(waiting).forEach(function (id) { put(id, waiting[id]); }); }, 0);
  });

  function follow() {
    var source = new EventSource('/live?page=' + encodeURIComponent(body.dataset.live));
    source.addEventListener('part', function (event) {
      var part = JSON.parse(event.data);
      tellLost(false);
      put(part.id, part.html);
    });
    source.addEventListener('silent', function () { tellLost(true); });
    source.addEventListener('ended', function () { source.close(); location.assign('/login'); });
    source.onerror = function () {
      tellLost(true);
      // The browser tries again by itself, unless it was refused.
      if (source.readyState === EventSource.CLOSED) { setTimeout(again, 2000); }
    };
    window.addEventListener('pagehide', function () { source.close(); });
  }

  function again() {
    fetch('/session', { cache: 'no-store' }).then(function (answer) {
      if (answer.status === 401) { location.assign('/login'); } else { follow(); }
    }).catch(function () { setTimeout(again, 2000); });
  }

  // After a restart: until the host is there again, as another boot; or is still the same after a minute, because it did not go.
  function seek(left) {
    var before = body.dataset.seekBoot, next = body.dataset.seek || '/';
    fetch('/alive', { cache: 'no-store' }).then(function (answer) { return answer.json(); }).then(function (said) {
      if (said.state === 'up' && (said.boot_id !== before || left <= 0)) { location.assign(next); }
    }).catch(function () {}).then(function () { setTimeout(function () { seek(left - 1); }, 2000); });
  }

  if (body.dataset.live && window.EventSource) { follow(); }
  if (body.dataset.seek !== undefined) { setTimeout(function () { seek(30); }, 4000); }
}());
