"""What a job will need and take on a machine that nobody has paid for yet.

topology (chips and meshes) -> phases (programs, compiled) -> hlo (what the compiler made of them)
-> memory, speed (bytes, seconds) -> fit (changes that help) -> report.
"""
