//! Settings of the C library's allocator, so that freed memory returns to the system.

/// Lets blocks of a quarter of a megabyte or more return to the system as soon as they are freed.
///
/// glibc raises that bound to the largest block it has seen freed, so that after the first weights (9 MB) nothing returns any more:
/// 14 MB of a ResNet-18's 261. For programs to call as they start; elsewhere than on Linux with glibc it does nothing.
pub fn give_back_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt is a plain call that takes the allocator's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 18);
    }
}
