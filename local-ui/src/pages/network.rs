//! Interfaces: as they are, and as they are to be. A change is tried first, and a person is told where the page will be.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Router, http::StatusCode};
use edge_client::Call;
use edge_model::Error;
use edge_model::api::access::Role;
use edge_model::api::network::{InterfaceKind, InterfaceView};
use edge_model::api::routes::RouteId;
use edge_model::api::{NetworkState, OperationStatus, Possibility};
use edge_model::user_data::interface::{Addressing, Interface, with_prefix};
use edge_words::{network as words, web};
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::accept::Ends;
use crate::reply::{Act, Answer, Fields, Visitor, see};
use crate::ui::{self, Choice, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/network", get(list))
        .route("/network/keep", post(keep))
        .route("/network/restore", post(restore))
        .route("/network/interface/{name}", get(edit).post(review))
        .route("/network/interface/{name}/try", post(try_it))
}

async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let interfaces: Vec<InterfaceView> = visitor.read(&app, RouteId::Interfaces).await?;
    let body = view(&frame, &interfaces);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, interfaces: &[InterfaceView]) -> Markup {
    let may = frame.can(Possibility::Configure);
    let rows: Vec<Vec<Markup>> = interfaces
        .iter()
        .map(|one| {
            let name = html! {
                @if may { a href={ "/network/interface/" (one.name) } { (one.name) } } @else { (one.name) }
            };
            vec![name, html! { (link(one)) }, addresses(one), html! { (configured(one)) }]
        })
        .collect();
    html! {
        (frame.only(Role::Operator))
        @if rows.is_empty() { p { (words::NO_INTERFACES) } }
        @else {
            (ui::table(words::TITLE, &[web::INTERFACE, web::STATE, web::ADDRESSES, web::CONFIGURED], &rows))
        }
        @if may { p.hint { (words::TRIAL_NOTE) } } @else if frame.may(Role::Operator) { p { (words::NOT_NOW) } }
        @if frame.can(Possibility::RestoreNetwork) && !matches!(frame.status.network, NetworkState::Trial { .. }) {
            (ui::form(frame, "/network/restore", &ui::button(words::GO_BACK)))
        }
    }
}

fn link(one: &InterfaceView) -> &'static str {
    match (one.kind, one.carrier) {
        (InterfaceKind::Missing, _) => words::MISSING,
        (_, true) => words::CABLE,
        (_, false) => words::NO_CABLE,
    }
}

fn addresses(one: &InterfaceView) -> Markup {
    html! {
        @if one.addresses.is_empty() { (words::NO_ADDRESS) } @else { (one.addresses.join(", ")) }
        @if let Some(gateway) = &one.gateway { br; (words::GATEWAY) " " (gateway) }
    }
}

fn configured(one: &InterfaceView) -> String {
    match one.configured.as_ref().map(|configured| (configured.kind, configured.all_addresses())) {
        None => words::DEFAULT.to_owned(),
        Some((Some(Addressing::None), _)) => words::ADDRESSINGS[2].to_owned(),
        Some((_, addresses)) if addresses.is_empty() => words::ADDRESSINGS[0].to_owned(),
        Some((_, addresses)) => addresses.join(", "),
    }
}

async fn edit(
    State(app): State<Arc<App>>,
    Extension(ends): Extension<Ends>,
    Path(name): Path<String>,
    visitor: Visitor,
) -> Answer {
    let frame = visitor.frame(&app).await?;
    let call = Call::default().segment("name", &name);
    let interface: InterfaceView = visitor.call(&app, RouteId::Interface, call).await?;
    let given = Given::of(&interface);
    let body = edit_view(&frame, &interface, &given, carries(&interface, &ends), None);
    Ok(shown(&frame, &words::interface(&name), &body))
}

/// Whether the browser is connected through it.
fn carries(interface: &InterfaceView, ends: &Ends) -> bool {
    let own = ends.own.ip().to_canonical().to_string();
    interface.addresses.iter().any(|address| address.split('/').next() == Some(own.as_str()))
}

/// What a form says, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub kind: &'static str,
    pub addresses: String,
    pub gateway: String,
    pub name_servers: String,
    pub search: String,
    pub mtu: String,
}

impl Given {
    /// What is configured; a fixed address begins with the one that the interface has.
    pub fn of(interface: &InterfaceView) -> Self {
        let present = interface.configured.clone().unwrap_or_default();
        let addresses = present.all_addresses();
        let kind = match present.kind {
            Some(Addressing::None) => "none",
            Some(Addressing::Static) => "static",
            None if !addresses.is_empty() => "static",
            _ => "dhcp",
        };
        let leased = || interface.addresses.iter().filter(|address| !address.starts_with("fe80")).cloned();
        let addresses = if addresses.is_empty() { leased().collect() } else { addresses };
        Self {
            kind,
            addresses: addresses.join(", "),
            gateway: present.gateway.clone().or_else(|| interface.gateway.clone()).unwrap_or_default(),
            name_servers: present.all_name_servers().join(", "),
            search: present.search.join(", "),
            mtu: present.mtu.map(|mtu| mtu.to_string()).unwrap_or_default(),
        }
    }

    fn read(fields: &Fields) -> Self {
        Self {
            kind: match fields.text("kind") {
                "static" => "static",
                "none" => "none",
                _ => "dhcp",
            },
            addresses: fields.text("addresses").to_owned(),
            gateway: fields.text("gateway").to_owned(),
            name_servers: fields.text("name-servers").to_owned(),
            search: fields.text("search").to_owned(),
            mtu: fields.text("mtu").to_owned(),
        }
    }
}

/// What the form does not show stays as it was.
fn changed(fields: &Fields, before: &Interface) -> edge_model::Result<Interface> {
    let given = Given::read(fields);
    let kind = match given.kind {
        "static" => Addressing::Static,
        "none" => Addressing::None,
        _ => Addressing::Dhcp,
    };
    let is_static = kind == Addressing::Static;
    let addresses: Vec<String> =
        fields.list("addresses").iter().map(|address| with_prefix(address)).collect();
    if is_static && addresses.is_empty() {
        return Err(Error::invalid(words::ADDRESS_MISSING));
    }
    let mtu = match given.mtu.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| Error::invalid(words::MTU_WRONG))?),
    };
    let names = |name: &str| if kind == Addressing::None { Vec::new() } else { fields.list(name) };
    Ok(Interface {
        kind: Some(kind.or_as_before(before)),
        addresses: if is_static { addresses } else { Vec::new() },
        gateway: Some(given.gateway).filter(|gateway| is_static && !gateway.is_empty()),
        dns: names("name-servers"),
        search: names("search"),
        mtu,
        ip_address: None,
        mask: None,
        nameserver: None,
        ..before.clone()
    })
}

pub fn edit_view(
    frame: &Frame,
    interface: &InterfaceView,
    given: &Given,
    carries: bool,
    error: Option<&Error>,
) -> Markup {
    let kinds = ["dhcp", "static", "none"];
    let kinds: Vec<Choice<'_>> =
        kinds.iter().zip(words::ADDRESSINGS).map(|(value, label)| Choice { value, label }).collect();
    let now = words::now(&interface.addresses.join(", "), interface.gateway.as_deref(), &interface.mac);
    let line = |name, label, hint, value| ui::field(&Field { name, label, hint, value, ..Field::default() });
    html! {
        p { (now) }
        @if carries { div.notice.warning { p { (web::THIS_PLUG) } } }
        @if let Some(error) = error {
            (ui::notice(edge_model::api::NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()))
        }
        (ui::form(frame, &format!("/network/interface/{}", interface.name), &html! {
            (ui::choice("kind", words::ADDRESSING, &kinds, given.kind))
            (line("addresses", words::ADDRESS, words::ADDRESS_HINT, &given.addresses))
            (line("gateway", words::GATEWAY, words::GATEWAY_HINT, &given.gateway))
            (line("name-servers", words::NAME_SERVERS, words::NAME_SERVERS_HINT, &given.name_servers))
            (line("search", words::SEARCH, words::SEARCH_HINT, &given.search))
            (line("mtu", words::MTU, words::MTU_HINT, &given.mtu))
            div.actions { a.button.quiet href="/network" { (web::BACK) } (ui::button(words::APPLY)) }
        }))
    }
}

/// Shows what would become of it, on a page of its own.
async fn review(
    State(app): State<Arc<App>>,
    Extension(ends): Extension<Ends>,
    Path(name): Path<String>,
    act: Act,
) -> Answer {
    let frame = act.visitor.frame(&app).await?;
    let call = Call::default().segment("name", &name);
    let interface: InterfaceView = act.visitor.call(&app, RouteId::Interface, call).await?;
    let carries = carries(&interface, &ends);
    let before = interface.configured.clone().unwrap_or_default();
    match changed(&act.fields, &before) {
        Ok(next) => {
            let body = review_view(&frame, &interface, &next, &act.fields, carries, app.settings.port);
            Ok(shown(&frame, web::NETWORK_CONFIRM, &body))
        }
        Err(error) => {
            let body = edit_view(&frame, &interface, &Given::read(&act.fields), carries, Some(&error));
            let page = ui::page(&frame, &words::interface(&name), &body);
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

fn review_view(
    frame: &Frame,
    interface: &InterfaceView,
    next: &Interface,
    fields: &Fields,
    carries: bool,
    port: u16,
) -> Markup {
    let given = InterfaceView { configured: Some(next.clone()), ..interface.clone() };
    let plain = |text: String| html! { (text) };
    let rows = vec![
        vec![plain(words::ADDRESS.into()), addresses(interface), plain(configured(&given))],
        vec![
            plain(words::GATEWAY.into()),
            plain(interface.gateway.clone().unwrap_or_default()),
            plain(next.gateway.clone().unwrap_or_default()),
        ],
        vec![plain(words::NAME_SERVERS.into()), plain(String::new()), plain(next.dns.join(", "))],
    ];
    let first = next.addresses.first().and_then(|address| address.split('/').next());
    let place = first.map(|address| match address.contains(':') {
        true => format!("https://[{address}]:{port}"),
        false => format!("https://{address}:{port}"),
    });
    html! {
        (ui::table(&words::interface(&interface.name), &[web::NAME, web::OLD_VALUE, web::NEW_VALUE], &rows))
        p { (web::NETWORK_NOTE) }
        @if carries {
            div.notice.warning { p { (web::THIS_PLUG) }
                @if let Some(place) = &place { p { (web::NEW_ADDRESS) " " a href=(place) { (place) } } } }
        }
        (ui::form(frame, &format!("/network/interface/{}/try", interface.name), &html! {
            (fields.again())
            div.actions { a.button.quiet href="/network" { (web::BACK) } (ui::button(words::APPLY)) }
        }))
    }
}

async fn try_it(State(app): State<Arc<App>>, Path(name): Path<String>, act: Act) -> Answer {
    let call = Call::default().segment("name", &name);
    let interface: InterfaceView = act.visitor.call(&app, RouteId::Interface, call).await?;
    let next = changed(&act.fields, &interface.configured.unwrap_or_default())?;
    let call = Call::default().segment("name", &name).body(&next)?;
    let status: OperationStatus = act.visitor.call(&app, RouteId::ChangeInterface, call).await?;
    Ok(see(&format!("/work/{}", status.id)))
}

async fn keep(State(app): State<Arc<App>>, act: Act) -> Answer {
    act.visitor.tell(&app, RouteId::ConfirmNetwork, Call::default()).await?;
    Ok(see("/network"))
}

async fn restore(State(app): State<Arc<App>>, act: Act) -> Answer {
    act.visitor.tell(&app, RouteId::RestoreNetwork, Call::default()).await?;
    Ok(see("/network"))
}
