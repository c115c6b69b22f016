//! A container's log, across the files that it was put aside into, as it grows if asked for.

mod lines;
mod watching;

use super::{Answer, Desk, Refusal, Sink, failed, streamed};
use crate::containers::log_path;
use crate::images::blocking;
use crate::worker::View;
use bytes::Bytes;
use hypermesh_planner::Run;
use hypermesh_stream::route::Since;
use hypermesh_stream::{Instance, LogOptions};
use jiff::{SignedDuration, Timestamp};
use lines::{Choice, Reader};
use std::path::PathBuf;
use tokio::sync::watch;
use watching::Watching;

pub(super) fn answer(desk: &Desk, instance: &Instance, options: &LogOptions) -> Result<Answer, Refusal> {
    let view = desk.view(instance)?;
    let name = view.container_name(options.container.as_deref())?;
    let waits = || {
        let words = format!(
            "container \"{name}\" in pod \"{}\" is waiting to start: {}",
            instance.name,
            reason(&view, &name)
        );
        failed(400, "BadRequest", words)
    };
    let record = view.record.container(&name).ok_or_else(waits)?;
    let attempt = match (options.previous, &record.run) {
        (true, _) => record.attempt.checked_sub(1).ok_or_else(|| {
            let words =
                format!("previous terminated container \"{name}\" in pod \"{}\" not found", instance.name);
            failed(400, "BadRequest", words)
        })?,
        (false, Run::None) if record.attempt == 0 && record.last.is_none() => return Err(waits()),
        (false, _) => record.attempt,
    };
    let since = match &options.since {
        None => None,
        Some(Since::Seconds(seconds)) => {
            let back = SignedDuration::from_secs(i64::try_from(*seconds).unwrap_or(i64::MAX));
            Some(Timestamp::now().checked_sub(back).unwrap_or(Timestamp::MIN))
        }
        Some(Since::Time(time)) => {
            let time: Result<Timestamp, _> = time.parse();
            Some(time.map_err(|error| failed(400, "BadRequest", format!("sinceTime: {error}")))?)
        }
    };
    let choice = Choice {
        timestamps: options.timestamps,
        since,
        tail: options.tail_lines,
        limit: options.limit_bytes,
    };
    let path = log_path(&desk.host.layout, &view.instance, &name, attempt);
    let ends = if options.follow && !options.previous {
        desk.workers.watch(&instance.uid).map(|changes| Ends { changes, name, attempt })
    } else {
        None
    };
    let (sink, answer) = streamed("text/plain");
    tokio::spawn(send(path, choice, ends, sink));
    Ok(answer)
}

/// Why a container has not begun.
fn reason(view: &View, name: &str) -> String {
    let status = &view.status;
    let all = status.init_container_statuses.iter().chain(&status.container_statuses);
    let waiting = all.filter(|status| status.name.as_str() == name).find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        Some(
            waiting
                .message
                .as_ref()
                .map_or_else(|| waiting.reason.clone(), |message| format!("{}: {message}", waiting.reason)),
        )
    });
    waiting.unwrap_or_else(|| "ContainerCreating".to_owned())
}

/// When a log that is followed is over: with the run that writes it.
struct Ends {
    changes: watch::Receiver<Option<View>>,
    name: String,
    attempt: u32,
}

impl Ends {
    fn is_over(&self) -> bool {
        let view = self.changes.borrow();
        let record = view.as_ref().and_then(|view| view.record.container(&self.name));
        record.is_none_or(|record| record.attempt != self.attempt || !record.run.is_alive())
    }

    async fn over(&mut self) {
        while !self.is_over() {
            if self.changes.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn send(path: PathBuf, choice: Choice, mut ends: Option<Ends>, sink: Sink) {
    let mut watching = ends.as_ref().and_then(|_| Watching::of(&path));
    let opened = blocking(move || Reader::open(path, choice)).await;
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => {
            let _ = sink.send(Err(error.into())).await;
            return;
        }
    };
    let mut last = false;
    loop {
        // Before the end is read it is known whether more may come.
        let over = ends.as_ref().is_none_or(Ends::is_over);
        let (back, piece) = blocking(move || {
            let piece = reader.piece();
            (reader, piece)
        })
        .await;
        reader = back;
        match piece {
            Ok(Some(bytes)) if bytes.is_empty() => continue,
            Ok(Some(bytes)) => {
                if sink.send(Ok(Bytes::from(bytes))).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => {
                let _ = sink.send(Err(error.into())).await;
                return;
            }
        }
        if reader.is_full() || last {
            return;
        }
        if over {
            // The shim may write the last lines after the end was told.
            last = true;
            if ends.is_some() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            continue;
        }
        let (Some(ends), Some(watching)) = (&mut ends, &mut watching) else { return };
        tokio::select! {
            () = watching.changed() => {}
            () = ends.over() => {}
            () = sink.closed() => return,
        }
    }
}
