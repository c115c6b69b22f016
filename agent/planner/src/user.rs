//! As whom a container runs.

use crate::sources::ConfigError;
use hypermesh_schemas::workload::security::{PodSecurityContext, SecurityContext};

/// Whom the image wants to run as, looked up in the image's own files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUser {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// As whom a container runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

/// Settles it. The container's own settings win over the instance's, and both over the image's.
///
/// # Errors
/// If the container must not run as root, and would.
pub fn run_as(
    container: &str,
    pod: Option<&PodSecurityContext>,
    own: Option<&SecurityContext>,
    image: &ImageUser,
) -> Result<RunAs, ConfigError> {
    let number = |id: i64| u32::try_from(id).ok();
    let uid =
        own.and_then(|own| own.run_as_user).or_else(|| pod.and_then(|pod| pod.run_as_user)).and_then(number);
    let gid = own
        .and_then(|own| own.run_as_group)
        .or_else(|| pod.and_then(|pod| pod.run_as_group))
        .and_then(number);
    let not_root =
        own.and_then(|own| own.run_as_non_root).or_else(|| pod.and_then(|pod| pod.run_as_non_root));
    let of_image = uid.is_none();
    // A user who is not the image's has no group of the image's either, unless it says so.
    let run = RunAs {
        uid: uid.unwrap_or(image.uid),
        gid: gid.unwrap_or(if of_image { image.gid } else { 0 }),
        groups: groups(pod, image),
    };
    if not_root == Some(true) && run.uid == 0 {
        return Err(ConfigError::Root { container: container.to_owned(), of_image });
    }
    Ok(run)
}

fn groups(pod: Option<&PodSecurityContext>, image: &ImageUser) -> Vec<u32> {
    let asked = pod.into_iter().flat_map(|pod| pod.supplemental_groups.iter().chain(&pod.fs_group));
    let mut groups = image.groups.clone();
    groups.extend(asked.filter_map(|id| u32::try_from(*id).ok()));
    groups.sort_unstable();
    groups.dedup();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_refused_wherever_it_comes_from() {
        let pod = PodSecurityContext { run_as_non_root: Some(true), ..PodSecurityContext::default() };
        let image = ImageUser::default();
        assert!(
            run_as("a", Some(&pod), None, &image).unwrap_err().to_string().contains("image will run as root")
        );
        let zero = SecurityContext { run_as_user: Some(0), ..SecurityContext::default() };
        assert!(run_as("a", Some(&pod), Some(&zero), &ImageUser { uid: 5, ..image.clone() }).is_err());
        let five = SecurityContext { run_as_user: Some(5), ..SecurityContext::default() };
        assert_eq!(run_as("a", Some(&pod), Some(&five), &image).unwrap().uid, 5);
        let allowed = SecurityContext { run_as_non_root: Some(false), ..SecurityContext::default() };
        assert_eq!(run_as("a", Some(&pod), Some(&allowed), &image).unwrap().uid, 0);
    }

    #[test]
    fn groups_are_those_of_the_image_and_of_the_instance() {
        let pod = PodSecurityContext {
            fs_group: Some(7),
            supplemental_groups: vec![9, 3],
            ..PodSecurityContext::default()
        };
        let image = ImageUser { uid: 1, gid: 2, groups: vec![3] };
        let run = run_as("a", Some(&pod), None, &image).unwrap();
        assert_eq!(run, RunAs { uid: 1, gid: 2, groups: vec![3, 7, 9] });
    }
}
