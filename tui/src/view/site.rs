//! Names, time and proxies.

use ratatui::text::Line;

use super::{Canvas, widgets};
use crate::screens::site::{Site, SiteField};
use crate::strings::{WAITING, site as words};

pub(super) fn draw(screen: &Site, title: &str, canvas: &mut Canvas<'_>) {
    let inner = widgets::frame(canvas.area, canvas.buffer, title);
    let rest = widgets::form(inner, canvas.buffer, &screen.form);
    let mut below = vec![Line::default()];
    let shows_proxy = screen.form.fields().any(|(field, _)| field.id == SiteField::HttpProxy);
    let certificates = screen.settings.as_ref().and_then(|settings| settings.ca_certs.as_ref());
    if let (true, Some(certificates)) = (shows_proxy, certificates) {
        below.extend(widgets::text(&words::certificates(certificates.len()), inner.width));
    }
    match (&screen.trouble, canvas.is_waiting) {
        (_, true) => below.push(Line::from(WAITING)),
        (Some(error), false) => below.extend(widgets::error(error, inner.width)),
        (None, false) => {}
    }
    widgets::lines(rest, canvas.buffer, &below);
}
