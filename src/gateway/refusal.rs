//! The gateway's words, and what each of them means. The only place where its text is matched.
