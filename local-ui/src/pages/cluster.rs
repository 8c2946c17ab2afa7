//! The cluster: made, looked at, given access to, ended.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_client::Call;
use edge_model::api::access::Role;
use edge_model::api::cluster::{ClusterName, ClusterRequest, ClusterView, Kubeconfig, PodState, PodStatus};
use edge_model::api::routes::RouteId;
use edge_model::api::{NoticeSeverity, Possibility};
use edge_model::calendar::day_and_time;
use edge_words::{cluster as words, status as status_words, web};
use maud::{Markup, html};

use super::shown;
use crate::App;
use crate::reply::{Act, Answer, Visitor, see};
use crate::ui::{self, Field, Frame};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/cluster", get(show))
        .route("/cluster/new", get(ask_new).post(create))
        .route("/cluster/kubeconfig", post(kubeconfig))
        .route("/cluster/delete", get(ask_delete).post(delete))
}

async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let mut frame = visitor.frame(&app).await?;
    let cluster: ClusterView = visitor.read(&app, RouteId::Cluster).await?;
    frame.live = Some("cluster".into());
    let body = view(&frame, &cluster.pods);
    Ok(shown(&frame, words::TITLE, &body))
}

pub fn view(frame: &Frame, pods: &[PodStatus]) -> Markup {
    let rows: Vec<Vec<Markup>> = pods
        .iter()
        .map(|pod| vec![html! { (pod.namespace) }, html! { (pod.name) }, html! { (pod_state(pod)) }])
        .collect();
    html! {
        div id="live" { (state(frame)) }
        @if frame.can(Possibility::CreateCluster) {
            p { a.button.quiet href="/cluster/new" { (web::CREATE_CLUSTER) } }
        }
        @if frame.status.cluster.is_some() && frame.may(Role::Admin) {
            (ui::form(frame, "/cluster/kubeconfig", &ui::button(web::KUBECONFIG)))
        }
        @if !rows.is_empty() { (ui::table(words::PODS, &[web::NAMESPACE, web::POD, web::STATE], &rows)) }
        @if frame.can(Possibility::DeleteCluster) {
            p { a.button.quiet href="/cluster/delete" { (web::DELETE_CLUSTER) } }
        }
    }
}

fn pod_state(pod: &PodStatus) -> String {
    let state = match &pod.state {
        PodState::Running => "running",
        PodState::Done => "done",
        PodState::Waiting { reason } | PodState::Failing { reason } => reason.as_str(),
        PodState::Unknown => "",
    };
    format!("{state}{}", words::restarts(pod.restarts))
}

/// What changes by itself.
pub(crate) fn state(frame: &Frame) -> Markup {
    let Some(cluster) = &frame.status.cluster else { return html! { p { (web::CLUSTER_NONE) } } };
    let mut rows =
        vec![(words::NAME, html! { (cluster.name) }), (words::STATE, html! { (cluster.phase.words()) })];
    if let Some(versions) = &cluster.versions {
        rows.push((words::KUBERNETES, html! { (versions) }));
    }
    if !cluster.node.is_empty() {
        rows.push((words::NODE, html! { (cluster.node) }));
    }
    if cluster.pods.wanted > 0 {
        rows.push((words::PODS, html! { (status_words::pods(cluster.pods.running, cluster.pods.wanted)) }));
    }
    if let Some(kept) = &cluster.kept {
        rows.push((web::KEPT, html! { (web::kept(&day_and_time(kept.made), &kept.versions.to_string())) }));
    }
    html! {
        @if let Some(wait) = &cluster.waits_for {
            (ui::notice(NoticeSeverity::Warning,
                &format!("{}: {}", words::WAITS, words::since(&wait.what, &day_and_time(wait.since))),
                wait.reason.as_deref()))
        }
        (ui::facts(&rows))
        @for pod in &cluster.troubled {
            (ui::notice(NoticeSeverity::Problem, &format!("{}/{}: {}", pod.namespace, pod.name, pod_state(pod)), None))
        }
    }
}

async fn ask_new(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    Ok(shown(&frame, web::CREATE_CLUSTER, &new_view(&frame, "", None)))
}

pub fn new_view(frame: &Frame, definition: &str, error: Option<&edge_model::Error>) -> Markup {
    html! {
        (frame.only(Role::Admin))
        @if let Some(error) = error {
            (ui::notice(NoticeSeverity::Problem, &error.to_string(), error.help.as_deref()))
        }
        (ui::form(frame, "/cluster/new", &html! {
            (ui::area("definition", web::DEFINITION, web::CLUSTER_CREATE_HINT, definition))
            div.actions { a.button.quiet href="/cluster" { (web::BACK) } (ui::button(web::CREATE_CLUSTER)) }
        }))
    }
}

async fn create(State(app): State<Arc<App>>, act: Act) -> Answer {
    let definition = act.fields.exact("definition").replace("\r\n", "\n");
    let request =
        ClusterRequest { definition: Some(definition.clone()).filter(|text| !text.trim().is_empty()) };
    let call = Call::default().body(&request)?;
    match act.visitor.call::<ClusterView>(&app, RouteId::CreateCluster, call).await {
        Ok(_) => Ok(see("/cluster")),
        Err(error) if error.class == edge_model::Class::InvalidInput => {
            let frame = act.visitor.frame(&app).await?;
            let body = new_view(&frame, &definition, Some(&error));
            let page = ui::page(&frame, web::CREATE_CLUSTER, &body);
            Ok((axum::http::StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn kubeconfig(State(app): State<Arc<App>>, act: Act) -> Answer {
    let access: Kubeconfig = act.visitor.call_anew(&app, RouteId::ClusterKubeconfig).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/yaml"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"kubeconfig.yaml\""),
    ];
    Ok((headers, access.kubeconfig).into_response())
}

async fn ask_delete(State(app): State<Arc<App>>, visitor: Visitor) -> Answer {
    let frame = visitor.frame(&app).await?;
    let body = delete_view(&frame);
    Ok(shown(&frame, web::DELETE_CLUSTER, &body))
}

pub fn delete_view(frame: &Frame) -> Markup {
    let Some(cluster) = &frame.status.cluster else { return html! { p { (web::CLUSTER_NONE) } } };
    let label = web::type_name(&cluster.name);
    html! {
        p { (web::delete_cluster(&cluster.name)) }
        (ui::form(frame, "/cluster/delete", &html! {
            (ui::field(&Field { name: "name", label: &label, required: true, ..Field::default() }))
            div.actions { a.button.quiet href="/cluster" { (web::BACK) } (ui::button(web::DELETE_CLUSTER)) }
        }))
    }
}

async fn delete(State(app): State<Arc<App>>, act: Act) -> Answer {
    let call = Call::default().body(&ClusterName { name: act.fields.text("name").to_owned() })?;
    let _: ClusterView = act.visitor.call(&app, RouteId::DeleteCluster, call).await?;
    Ok(see("/cluster"))
}
