//! The installer's forms, filled in with the answers that are known.

use edge_model::unattended::{AfterInstall, Unattended};
use edge_model::user_data::edge::ManagementMode;

use crate::form::{Field, Form};
use crate::strings::installer as words;
use crate::time_zones;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityField {
    HostName,
    DeviceId,
    TimeZone,
    TimeServers,
    HttpProxy,
    HttpsProxy,
    NoProxy,
    Continue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountField {
    Name,
    Password,
    Again,
    SshKey,
    Continue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManagementField {
    Mode,
    Endpoint,
    Token,
    Continue,
    ShowCode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryField {
    Disk,
    Network,
    Identity,
    Account,
    Management,
    After,
    Install,
    Export,
}

pub(super) const AFTER: [AfterInstall; 3] =
    [AfterInstall::Nothing, AfterInstall::Reboot, AfterInstall::PowerOff];

pub(super) fn identity(answers: &Unattended) -> Form<IdentityField> {
    use IdentityField as Id;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let proxy = &answers.proxy;
    Form::new(vec![
        Field::text(Id::HostName, words::HOST_NAME, text(&answers.host_name))
            .hint(words::HOST_NAME_HINT)
            .fills(&["hostName"]),
        Field::text(Id::DeviceId, words::DEVICE_ID, text(&answers.device_id))
            .hint(words::DEVICE_ID_HINT)
            .fills(&["deviceId", "name"]),
        Field::text(Id::TimeZone, words::TIME_ZONE, text(&answers.time_zone))
            .hint(words::TIME_ZONE_HINT)
            .fills(&["timeZone"])
            .among(time_zones::all()),
        Field::text(Id::TimeServers, words::TIME_SERVERS, answers.ntp_servers.join(", "))
            .hint(words::TIME_SERVERS_HINT)
            .fills(&["ntpServers"]),
        Field::text(Id::HttpProxy, words::HTTP_PROXY, text(&proxy.http))
            .hint(words::PROXY_HINT)
            .fills(&["http", "httpProxy"]),
        Field::text(Id::HttpsProxy, words::HTTPS_PROXY, text(&proxy.https))
            .hint(words::PROXY_HINT)
            .fills(&["https", "httpsProxy"]),
        Field::text(Id::NoProxy, words::NO_PROXY, text(&proxy.no_proxy))
            .hint(words::NO_PROXY_HINT)
            .fills(&["noProxy"]),
        Field::button(Id::Continue, words::CONTINUE),
    ])
}

/// With a password that is known and not shown.
pub(super) fn account(answers: &Unattended, has_password: bool) -> Form<AccountField> {
    use AccountField as Id;
    let operator = answers.operator.as_ref();
    let name = operator.map(|operator| operator.name.clone()).unwrap_or_default();
    let key = operator.and_then(|operator| operator.ssh_keys.first().cloned()).unwrap_or_default();
    let hint = if has_password { words::PASSWORD_KEPT } else { words::PASSWORD_HINT };
    Form::new(vec![
        Field::text(Id::Name, words::ACCOUNT_NAME, name).hint(words::ACCOUNT_NAME_HINT).fills(&["name"]),
        Field::secret(Id::Password, words::PASSWORD).hint(hint).fills(&["password", "passwordHash"]),
        Field::secret(Id::Again, words::PASSWORD_AGAIN).hint(hint),
        Field::text(Id::SshKey, words::SSH_KEY, key).hint(words::SSH_KEY_HINT).fills(&["sshKeys"]),
        Field::button(Id::Continue, words::CONTINUE),
    ])
}

/// With a token that is known and not shown.
pub(super) fn management(answers: &Unattended, has_token: bool) -> Form<ManagementField> {
    use ManagementField as Id;
    let chosen = usize::from(answers.management.mode == Some(ManagementMode::Central));
    let endpoint = answers.management.endpoint.clone().unwrap_or_default();
    let hint = if has_token { words::TOKEN_KEPT } else { words::TOKEN_HINT };
    let mut form = Form::new(vec![
        Field::choice(Id::Mode, words::MANAGEMENT, &words::MANAGEMENTS, chosen)
            .hint(words::MANAGEMENT_HINT)
            .fills(&["mode", "managementMode"]),
        Field::text(Id::Endpoint, words::ENDPOINT, endpoint)
            .hint(words::ENDPOINT_HINT)
            .fills(&["endpoint", "paletteEndpoint"]),
        Field::secret(Id::Token, words::TOKEN).hint(hint).fills(&["registrationToken", "edgeHostToken"]),
        Field::button(Id::Continue, words::CONTINUE),
        Field::button(Id::ShowCode, words::SHOW_CODE),
    ]);
    fit_management(&mut form);
    form
}

pub(super) fn fit_management(form: &mut Form<ManagementField>) {
    let is_central = form.chosen(ManagementField::Mode) == 1;
    form.show(ManagementField::Endpoint, is_central);
    form.show(ManagementField::Token, is_central);
    form.show(ManagementField::ShowCode, is_central);
}

pub(super) fn summary(answers: &Unattended) -> Form<SummaryField> {
    use SummaryField as Id;
    let after = answers.install.as_ref().and_then(|install| install.after).unwrap_or(AfterInstall::Nothing);
    let chosen = AFTER.iter().position(|choice| *choice == after).unwrap_or_default();
    let mut form = Form::new(vec![
        Field::link(Id::Disk, words::DISK, "").hint(words::LINK_HINT),
        Field::link(Id::Network, words::NETWORK, "").hint(words::LINK_HINT),
        Field::link(Id::Identity, words::IDENTITY, "").hint(words::LINK_HINT),
        Field::link(Id::Account, words::ACCOUNT, "").hint(words::LINK_HINT),
        Field::link(Id::Management, words::MANAGEMENT, "").hint(words::LINK_HINT),
        Field::choice(Id::After, words::AFTER, &words::AFTERS, chosen).hint(words::AFTER_HINT),
        Field::button(Id::Install, words::INSTALL),
        Field::button(Id::Export, words::EXPORT).hint(words::EXPORT_HINT),
    ]);
    form.show(Id::Management, false);
    form.focus(Id::Install);
    form
}
